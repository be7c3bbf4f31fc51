"""One transaction of the queue: what is decided in it is gathered, and written together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from stretto.contexts.core.errors import KeyReused, UnknownJob
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue import family
from stretto.contexts.queue.adapters import statements as sql
from stretto.contexts.queue.adapters.connections import Clock, Connection, Outbox
from stretto.contexts.queue.adapters.rows import changing_row_of, job_of, readable, row_of
from stretto.contexts.queue.adapters.webhooks import owe
from stretto.contexts.queue.model import (
    SUSPICIOUS_CRASHES,
    Change,
    Job,
    JobPriority,
    Look,
    Moment,
    Submission,
)
from stretto.contexts.queue.transitions import accepted

KEY_KEPT_FOR_S: Final = 24 * 3600.0
NO_LIMIT: Final = 1_000_000_000
UNREADABLE_WAITS_S: Final = 300.0
"""A worker that was updated may be able to read it."""

Decide = Callable[[Job, Moment], Change | None]
Take = Callable[[Job, Moment], Change]


class JobTransaction:
    """What is changed here is known here at once, and on its way to the table with ``write``.

    ``server`` says that others write at the same time, so that rows have to be locked.
    """

    def __init__(
        self, connection: Connection, *, outbox: Outbox, clock: Clock, server: bool
    ) -> None:
        self.connection = connection
        self._outbox = outbox
        self._clock = clock
        self._server = server
        self._lock = " FOR UPDATE" if server else ""
        self._skip = " FOR UPDATE OF queue_job SKIP LOCKED" if server else ""
        self._jobs: dict[JobId, Job] = {}
        self._updates: list[dict[str, Any]] = []
        self._inserts: list[dict[str, Any]] = []
        self._told: list[tuple[str, DomainEvent]] = []
        self._rings = False

    @cached_property
    def now(self) -> Moment:
        """Asked for once, and not before what has to be locked first is locked."""
        return self._clock.read(self.connection)

    def lock(self, job_ids: Collection[JobId]) -> None:
        """These jobs, and those that they are parts of: parents first, and all in one order, so
        that none waits for another in a circle."""
        for statement, values in sql.with_parents([str(one) for one in job_ids]):
            for row in self.connection.execute(statement + self._lock, values).fetchall():
                job = job_of(row)
                self._jobs[job.id] = job

    def change(
        self, job_id: JobId, decide: Decide, *, alongside: Callable[[], None] | None = None
    ) -> Change | None:
        """Of a job that was locked. Raises UnknownJob."""
        before = self._jobs.get(job_id)
        if before is None:
            raise unknown(job_id)
        change = decide(before, self.now)
        if change is None:
            return None
        if alongside is not None:
            alongside()
        self._keep(change)
        parent = self._jobs.get(before.parent) if before.parent else None
        if parent is None and before.division is None and not change.besides:
            return change
        return self._family(change, before=before, parent=parent)

    def add(self, submission: Submission) -> Change:
        """Raises KeyReused."""
        change = accepted(submission.job, self.now)
        row = row_of(change.job) | {
            "request_key": submission.key or None,
            "request_digest": submission.digest,
        }
        if not submission.key:
            self._inserts.append(row)
        elif not self._is_new(submission.key, row):
            return Change(self._known(submission))
        self._report(change)
        return change

    def claim(
        self,
        looks: Sequence[Look],
        takes: Sequence[Take],
        *,
        suspects: bool = True,
        only: JobId | None = None,
    ) -> list[Change | None]:
        """A job for each of ``takes``, as long as there are any."""
        found: list[Change] = []
        given = {"suspects": NO_LIMIT if suspects else SUSPICIOUS_CRASHES}
        for statement, values in self._searches(looks, only):
            while len(found) < len(takes):
                limit = len(takes) - len(found)
                self.flush()
                rows = self.connection.execute(
                    statement + self._skip, given | values | {"limit": limit}
                ).fetchall()
                jobs = _different(readable(rows, passed_over=self._put_off))
                for job in jobs:
                    found.append(self._keep(takes[len(found)](job, self.now)))
                if len(jobs) == len(rows):  # else some were passed over, and others may be behind
                    break
        return [*found, *[None] * (len(takes) - len(found))]

    def delete(self, job_id: str) -> bool:
        """If it is over; with its parts, and what is known of them."""
        self.flush()
        deleted = self.connection.execute(sql.DELETE, {"id": job_id}).rowcount == 1
        if deleted:
            self._outbox.forget(self.connection, job_id)
            self._delete_parts(job_id)
        return deleted

    def flush(self) -> None:
        """Let the statements that follow see what was changed."""
        for statement, rows in ((sql.BEAR, self._inserts), (sql.UPDATE, self._updates)):
            if len(rows) == 1:
                self.connection.execute(statement, rows[0])
            elif rows:
                self.connection.executemany(statement, rows)
            rows.clear()

    def write(self) -> None:
        """All that is left. Nothing may follow."""
        self.flush()
        self._outbox.append_all(self.connection, self._told)
        if self._rings and self._server:
            self.connection.execute(sql.NOTIFY)  # heard when this is committed, and only then

    def _family(self, change: Change, *, before: Job, parent: Job | None) -> Change:
        """What the change brings about in the parts of the job, or in the one it is a part of."""
        job = change.job
        for born in change.besides:
            self._inserts.append(row_of(born.job) | sql.WITHOUT_KEY)
            self._report(born)
        brought: list[Change] = []
        if family.loses_parts(before, job):
            self.flush()
            self._delete_parts(str(job.id))
        elif job.division is not None and job.is_over:
            brought += family.parts_after(before, job, self._parts(job.id), self.now)
        if parent is not None and (after := family.parent_after(parent, before, job, self.now)):
            brought.append(after)
        for one in brought:
            self._keep(one)
        return replace(change, besides=(*change.besides, *brought))

    def _put_off(self, job_id: str) -> None:
        run_at = self.now.at.unix_s + UNREADABLE_WAITS_S
        self.connection.execute(sql.PUT_OFF, {"id": job_id, "run_at": run_at})

    def _parts(self, parent: JobId) -> list[Job]:
        """In the order of the file; locked in the order in which their leases are renewed."""
        self.flush()
        rows = self.connection.execute(sql.PARTS + self._lock, {"id": str(parent)}).fetchall()
        return sorted(map(job_of, rows), key=lambda part: part.run_at.unix_s)

    def _delete_parts(self, parent: str) -> None:
        rows = self.connection.execute(sql.DELETE_PARTS, {"id": parent}).fetchall()
        for (job_id,) in rows:
            self._jobs.pop(JobId.parse(job_id), None)
            self._outbox.forget(self.connection, job_id)

    def _keep(self, change: Change) -> Change:
        self._jobs[change.job.id] = change.job
        self._updates.append(changing_row_of(change.job))
        self._report(change)
        return change

    def _report(self, change: Change) -> None:
        job = change.job
        self._told += [(str(job.id), event) for event in change.events]
        if job.callback and job.is_over and change.events:
            owe(self.connection, job, self.now.at.unix_s)
        if not job.holder and not job.is_over and job.run_at <= self.now.at:
            self._rings = True

    def _is_new(self, key: str, row: dict[str, Any]) -> bool:
        old = {"key": key, "before": self.now.at.unix_s - KEY_KEPT_FOR_S}
        self.connection.execute(sql.FORGET_KEY, old)
        return bool(self.connection.execute(sql.INSERT, row).rowcount)

    def _known(self, submission: Submission) -> Job:
        row = self.connection.execute(sql.OF_KEY, {"key": submission.key}).fetchone()
        if row is None:  # the id is there, not the key: it is a random one
            raise KeyReused(f"There is a job {submission.job.id} already.")
        if row[-1] != submission.digest:
            raise KeyReused(
                f"The idempotency key {submission.key!r} belongs to another request. Use a new key "
                "for each request."
            )
        return job_of(row[:-1])

    def _searches(
        self, looks: Sequence[Look], only: JobId | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        now_s = self.now.at.unix_s
        if only is not None:
            yield sql.CLAIM_ONE, {"id": str(only), "ready": now_s}
            return
        for look in looks:
            ready = now_s - look.waited_s
            for queue in look.queues if len(look.queues) == 1 else self._oldest_first(look):
                yield sql.CLAIM_NEXT, {"priority": int(queue), "ready": ready}

    def _oldest_first(self, look: Look) -> list[JobPriority]:
        self.flush()
        return [queue for _, queue in heads(self.connection, look.queues)]


def heads(connection: Connection, queues: Sequence[JobPriority]) -> list[tuple[float, JobPriority]]:
    """When the first job of each queue is ready, the soonest first."""
    rows = connection.execute(sql.HEADS).fetchall()
    return sorted((at, JobPriority(q)) for q, at in rows if at is not None and q in queues)


def unknown(job_id: JobId) -> UnknownJob:
    return UnknownJob(f"There is no job {job_id}. See which there are: stretto jobs list")


def _different(jobs: Iterable[Job]) -> list[Job]:
    """Without those whose work is that of another one before them."""
    found: dict[str, Job] = {}
    for job in jobs:
        found.setdefault(job.work_key, job)
    return list(found.values())
