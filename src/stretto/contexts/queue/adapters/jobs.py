"""The queue as a table: claimed, changed and looked at with the same SQL on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from stretto.contexts.core.errors import KeyReused, UnknownJob
from stretto.contexts.core.identifiers import JobId, TranscriptId
from stretto.contexts.queue import family
from stretto.contexts.queue.adapters import statements as sql
from stretto.contexts.queue.adapters.connections import Clock, Connection, Database, Outbox
from stretto.contexts.queue.adapters.rows import changing_row_of, job_of, row_of
from stretto.contexts.queue.adapters.webhooks import owe
from stretto.contexts.queue.model import (
    SUSPICIOUS_CRASHES,
    Change,
    Job,
    JobPriority,
    Lease,
    Look,
    Moment,
    Submission,
    Wanted,
)
from stretto.contexts.queue.transitions import accepted

KEY_KEPT_FOR_S: Final = 24 * 3600.0
NO_LIMIT: Final = 1_000_000_000


class SqlJobs:
    """Satisfies the ports JobQueue, JobList and Housekeeping."""

    def __init__(self, database: Database, *, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        server = database.dialect == "postgresql"
        self._notify = sql.NOTIFY if server else ""
        self._lock = " FOR UPDATE" if server else ""
        self._skip = " FOR UPDATE OF queue_job SKIP LOCKED" if server else ""

    def add(self, submission: Submission) -> Change:
        def work(connection: Connection) -> Change:
            now = self._clock.read(connection)
            change = accepted(submission.job, now)
            row = row_of(change.job) | {
                "request_key": submission.key or None,
                "request_digest": submission.digest,
            }
            if submission.key:
                old = {"key": submission.key, "before": now.at.unix_s - KEY_KEPT_FOR_S}
                connection.execute(sql.FORGET_KEY, old)
            if not connection.execute(sql.INSERT, row).rowcount:
                return Change(self._known(connection, submission))
            self._report(connection, change, now)
            return change

        return self._database.transact(work)

    def claim(
        self,
        looks: Sequence[Look],
        *,
        take: Callable[[Job, Moment], Change],
        suspects: bool = True,
        only: JobId | None = None,
    ) -> Change | None:
        def work(connection: Connection) -> Change | None:
            now = self._clock.read(connection)
            given = {"suspects": NO_LIMIT if suspects else SUSPICIOUS_CRASHES}
            for statement, values in _searches(connection, looks, only, now):
                row = connection.execute(statement + self._skip, given | values).fetchone()
                if row is not None:
                    return self._write(connection, take(job_of(row), now), now)
            return None

        return self._database.transact(work)

    def change(
        self,
        job_id: JobId,
        decide: Callable[[Job, Moment], Change | None],
        *,
        alongside: Callable[[], None] | None = None,
    ) -> Change | None:
        def work(connection: Connection) -> Change | None:
            job, parent = self._locked(connection, job_id)
            now = self._clock.read(connection)
            change = decide(job, now)
            if change is None:
                return None
            if alongside is not None:
                alongside()
            self._write(connection, change, now)
            if parent is None and job.division is None and not change.besides:
                return change
            return self._family(connection, change, before=job, parent=parent, now=now)

        return self._database.transact(work)

    def delete(self, job_id: JobId) -> bool:
        def work(connection: Connection) -> bool:
            return self._delete(connection, str(job_id))

        return self._database.transact(work)

    def delete_of(self, transcript_id: TranscriptId) -> int:
        """The jobs that made a transcript, with what is known of them. Returns how many."""

        def work(connection: Connection) -> int:
            rows = connection.execute(sql.OF_TRANSCRIPT, {"id": str(transcript_id)}).fetchall()
            return sum(self._delete(connection, job_id) for (job_id,) in rows)

        return self._database.transact(work)

    def get(self, job_id: JobId) -> Job | None:
        with self._database.read() as connection:
            row = connection.execute(sql.GET, {"id": str(job_id)}).fetchone()
        return job_of(row) if row else None

    def parts_of(self, job_id: JobId) -> tuple[Job, ...]:
        with self._database.read() as connection:
            return self._parts(connection, job_id)

    def page(self, wanted: Wanted) -> tuple[Job, ...]:
        after = wanted.after
        values: dict[str, Any] = {
            "at": after.created_at.unix_s if after else 1e300,
            "id": str(after.id) if after else "",
            "limit": wanted.limit,
        }
        given = {"status": wanted.status and wanted.status.value, "owner": wanted.owner}
        values |= {name: value for name, value in given.items() if value is not None}
        statement = sql.page(name for name in given if name in values)
        with self._database.read() as connection:
            rows = connection.execute(statement, values).fetchall()
        return tuple(job_of(row) for row in rows)

    def held_by(self, holder: str) -> tuple[Job, ...]:
        with self._database.read() as connection:
            rows = connection.execute(sql.HELD, {"holder": holder}).fetchall()
        return tuple(job_of(row) for row in rows)

    def waits(self, look: Look) -> bool:
        with self._database.read() as connection:
            ready = self._clock.read(connection).at.unix_s - look.waited_s
            given = {"ready": ready, "suspects": SUSPICIOUS_CRASHES}
            return any(
                connection.execute(sql.CLAIM_NEXT, given | {"priority": int(queue)}).fetchone()
                for queue in look.queues
            )

    def soonest_s(self, queues: Sequence[JobPriority]) -> float | None:
        with self._database.read() as connection:
            heads = _heads(connection, queues)
            return heads[0][0] - self._clock.read(connection).at.unix_s if heads else None

    def expired(self, limit: int) -> tuple[JobId, ...]:
        with self._database.read() as connection:
            now = self._clock.read(connection)
            values = {"boot": now.boot, "now": now.lease_s, "limit": limit}
            rows = connection.execute(sql.EXPIRED, values).fetchall()
        return tuple(JobId.parse(job_id) for job_id, _ in rows)

    def renew(self, held: Sequence[tuple[JobId, int]], lease: Callable[[Moment], Lease]) -> None:
        def work(connection: Connection) -> None:
            until = lease(self._clock.read(connection))
            for job_id, fence in sorted(
                held, key=str
            ):  # in one order, so that none waits for another
                row = {"id": str(job_id), "fence": fence, "until": until.until_s}
                connection.execute(sql.RENEW, row | {"boot": until.boot})

        self._database.transact(work)

    def hasten(self, most_s: float) -> bool:
        """It is asked for often and hardly ever needed: asking costs a read."""
        with self._database.read() as connection:
            now = self._clock.read(connection).at.unix_s
            rows = connection.execute(sql.FURTHEST).fetchall()
        late = [(queue, at) for queue, at in rows if at is not None and at > now + most_s]
        if not late:
            return False

        def work(connection: Connection) -> None:
            for queue, at in late:
                values = {"priority": queue, "beyond": now + most_s, "ahead": at - now}
                connection.execute(sql.HASTEN, values)

        self._database.transact(work)
        return True

    def _locked(self, connection: Connection, job_id: JobId) -> tuple[Job, Job | None]:
        """The job, and the one that it is a part of: locked in this order, the parent first, so
        that none waits for another in a circle."""
        rows = connection.execute(sql.WITH_PARENT + self._lock, {"id": str(job_id)}).fetchall()
        found = {job.id: job for job in map(job_of, rows)}
        if job_id not in found:
            raise unknown(job_id)
        job = found[job_id]
        return job, found.get(job.parent) if job.parent else None

    def _family(
        self,
        connection: Connection,
        change: Change,
        *,
        before: Job,
        parent: Job | None,
        now: Moment,
    ) -> Change:
        """What the change brings about in the parts of the job, or in the one it is a part of."""
        job = change.job
        for born in change.besides:
            connection.execute(sql.INSERT, row_of(born.job) | sql.WITHOUT_KEY)
            self._report(connection, born, now)
        brought: list[Change] = []
        if family.loses_parts(before, job):
            self._delete_parts(connection, str(job.id))
        elif job.division is not None and job.is_over:
            parts = self._parts(connection, job.id, self._lock)
            brought += family.parts_after(before, job, parts, now)
        if parent is not None and (after := family.parent_after(parent, before, job, now)):
            brought.append(after)
        for one in brought:
            self._write(connection, one, now)
        return replace(change, besides=(*change.besides, *brought))

    def _parts(self, connection: Connection, parent: JobId, lock: str = "") -> tuple[Job, ...]:
        """Locked in the order in which their leases are renewed."""
        rows = connection.execute(sql.PARTS + lock, {"id": str(parent)}).fetchall()
        return tuple(sorted(map(job_of, rows), key=lambda part: part.run_at.unix_s))

    def _delete_parts(self, connection: Connection, parent: str) -> None:
        rows = connection.execute(sql.DELETE_PARTS, {"id": parent}).fetchall()
        for (job_id,) in rows:
            self._outbox.forget(connection, job_id)

    def _write(self, connection: Connection, change: Change, now: Moment) -> Change:
        connection.execute(sql.UPDATE, changing_row_of(change.job))
        self._report(connection, change, now)
        return change

    def _report(self, connection: Connection, change: Change, now: Moment) -> None:
        job = change.job
        self._outbox.append(connection, str(job.id), *change.events)
        if job.callback and job.is_over and change.events:
            owe(connection, job, now.at.unix_s)
        if self._notify and not job.holder and not job.is_over and job.run_at <= now.at:
            connection.execute(self._notify)  # heard when this is committed, and only then

    def _known(self, connection: Connection, submission: Submission) -> Job:
        row = connection.execute(sql.OF_KEY, {"key": submission.key}).fetchone()
        if row is None:  # the id is there, not the key: it is a random one
            raise KeyReused(f"There is a job {submission.job.id} already.")
        if row[-1] != submission.digest:
            raise KeyReused(
                f"The idempotency key {submission.key!r} belongs to another request. Use a new key "
                "for each request."
            )
        return job_of(row[:-1])

    def _delete(self, connection: Connection, job_id: str) -> bool:
        deleted = connection.execute(sql.DELETE, {"id": job_id}).rowcount == 1
        if deleted:
            self._outbox.forget(connection, job_id)
            self._delete_parts(connection, job_id)
        return deleted


def unknown(job_id: JobId) -> UnknownJob:
    return UnknownJob(f"There is no job {job_id}. See which there are: stretto jobs list")


def _searches(
    connection: Connection, looks: Sequence[Look], only: JobId | None, now: Moment
) -> Iterator[tuple[str, dict[str, Any]]]:
    if only is not None:
        yield sql.CLAIM_ONE, {"id": str(only), "ready": now.at.unix_s}
        return
    for look in looks:
        ready = now.at.unix_s - look.waited_s
        for queue in look.queues if len(look.queues) == 1 else _oldest_first(connection, look):
            yield sql.CLAIM_NEXT, {"priority": int(queue), "ready": ready}


def _oldest_first(connection: Connection, look: Look) -> list[JobPriority]:
    return [queue for _, queue in _heads(connection, look.queues)]


def _heads(
    connection: Connection, queues: Sequence[JobPriority]
) -> list[tuple[float, JobPriority]]:
    """When the first job of each queue is ready, the soonest first."""
    rows = connection.execute(sql.HEADS).fetchall()
    return sorted((at, JobPriority(q)) for q, at in rows if at is not None and q in queues)
