"""The queue as a table: claimed, changed and looked at with the same SQL on both databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stretto.contexts.core.identifiers import FileHash, JobId, TranscriptId
from stretto.contexts.queue.adapters import statements as sql
from stretto.contexts.queue.adapters.connections import Clock, Database, Outbox
from stretto.contexts.queue.adapters.rows import COLUMNS, job_of, readable
from stretto.contexts.queue.adapters.steps import Adding, Changing, Claiming, Doing, JobSteps
from stretto.contexts.queue.adapters.transaction import NO_LIMIT, JobTransaction, heads
from stretto.contexts.queue.family import place_of
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


class SqlJobs:
    """Satisfies the ports JobQueue, JobList and Housekeeping.

    What the threads of a process write about jobs at the same moment is one transaction.
    """

    def __init__(self, database: Database, *, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._server = database.dialect == "postgresql"
        self._steps = JobSteps(outbox=outbox, clock=clock, server=self._server)
        self._together = database.together(self._steps.run)

    def add(self, submission: Submission) -> Change:
        change: Change = self._together.transact(Adding(submission))
        return change

    def claim(
        self,
        looks: Sequence[Look],
        *,
        take: Callable[[Job, Moment], Change],
        suspects: bool = True,
        only: JobId | None = None,
    ) -> Change | None:
        step = Claiming(looks=tuple(looks), take=take, suspects=suspects, only=only)
        change: Change | None = self._together.transact(step)
        return change

    def change(
        self,
        job_id: JobId,
        decide: Callable[[Job, Moment], Change | None],
        *,
        alongside: Callable[[], None] | None = None,
    ) -> Change | None:
        step = Changing(job_id=job_id, decide=decide, alongside=alongside)
        change: Change | None
        if alongside is not None and self._server:  # it may take long, and need not keep others
            change = self._database.transact(lambda c: self._steps.run(c, [step])[0])
        else:
            change = self._together.transact(step)
        return change

    def delete(self, job_id: JobId) -> bool:
        deleted: bool = self._together.transact(Doing(lambda jobs: jobs.delete(str(job_id))))
        return deleted

    def delete_of(self, transcript_id: TranscriptId) -> int:
        """The jobs that made a transcript, with what is known of them. Returns how many."""

        def work(jobs: JobTransaction) -> int:
            rows = jobs.connection.execute(sql.OF_TRANSCRIPT, {"id": str(transcript_id)}).fetchall()
            return sum(jobs.delete(job_id) for (job_id,) in rows)

        deleted: int = self._together.transact(Doing(work))
        return deleted

    def get(self, job_id: JobId) -> Job | None:
        with self._database.read() as connection:
            row = connection.execute(sql.GET, {"id": str(job_id)}).fetchone()
        return job_of(row) if row else None

    def parts_of(self, job_id: JobId) -> tuple[Job, ...]:
        with self._database.read() as connection:
            rows = connection.execute(sql.PARTS, {"id": str(job_id)}).fetchall()
        return tuple(sorted(map(job_of, rows), key=place_of))

    def page(self, wanted: Wanted) -> tuple[Job, ...]:
        after = wanted.after
        values: dict[str, Any] = {
            "at": after.created_at.unix_s if after else 1e300,
            "id": str(after.id) if after else "",
        }
        given = {"status": wanted.status and wanted.status.value, "owner": wanted.owner}
        values |= {name: value for name, value in given.items() if value is not None}
        statement = sql.page(name for name in given if name in values)
        found: list[Job] = []
        with self._database.read() as connection:
            while len(found) < wanted.limit:
                limit = wanted.limit - len(found)
                rows = connection.execute(statement, values | {"limit": limit}).fetchall()
                found += readable(rows)
                if len(rows) < limit:
                    break
                last = dict(zip(COLUMNS, rows[-1], strict=True))
                values |= {"at": last["created_at"], "id": last["id"]}
        return tuple(found)

    def need(self, file_hash: FileHash, *, owner: str) -> bool:
        """Whether a job of this owner that is not over is of a file in a folder of that name."""
        values = {"owner": owner, "like": f"%/{file_hash}/%"}
        with self._database.read() as connection:
            return connection.execute(sql.NEEDING, values).fetchone() is not None

    def held_by(self, holder: str) -> tuple[Job, ...]:
        with self._database.read() as connection:
            rows = connection.execute(sql.HELD, {"holder": holder}).fetchall()
        return tuple(readable(rows))

    def first(self, look: Look) -> Job | None:
        row = self._found(look, suspects=NO_LIMIT)
        return next(readable([row] if row else []), None)

    def waits(self, look: Look) -> bool:
        return self._found(look, suspects=SUSPICIOUS_CRASHES) is not None

    def _found(self, look: Look, *, suspects: int) -> Any:
        with self._database.read() as connection:
            ready = self._clock.read(connection).at.unix_s - look.waited_s
            given = {"ready": ready, "suspects": suspects, "limit": 1}
            for queue in look.queues:
                values = given | {"priority": int(queue)}
                if row := connection.execute(sql.CLAIM_NEXT, values).fetchone():
                    return row
        return None

    def soonest_s(self, queues: Sequence[JobPriority]) -> float | None:
        with self._database.read() as connection:
            soonest = heads(connection, queues)
            return soonest[0][0] - self._clock.read(connection).at.unix_s if soonest else None

    def expired(self, limit: int) -> tuple[JobId, ...]:
        with self._database.read() as connection:
            now = self._clock.read(connection)
            values = {"boot": now.boot, "now": now.lease_s, "limit": limit}
            rows = connection.execute(sql.EXPIRED, values).fetchall()
        return tuple(JobId.parse(job_id) for job_id, _ in rows)

    def renew(self, held: Sequence[tuple[JobId, int]], lease: Callable[[Moment], Lease]) -> None:
        def work(jobs: JobTransaction) -> None:
            until = lease(jobs.now)
            jobs.connection.executemany(
                sql.RENEW_UNLOCKED if self._server else sql.RENEW,
                [
                    {"id": job_id, "fence": fence, "until": until.until_s, "boot": until.boot}
                    # in one order, so that none waits for another
                    for job_id, fence in sorted((str(job_id), fence) for job_id, fence in held)
                ],
            )

        self._together.transact(Doing(work))

    def hasten(self, most_s: float) -> bool:
        """It is asked for often and hardly ever needed: asking costs a read."""
        with self._database.read() as connection:
            now = self._clock.read(connection).at.unix_s
            rows = connection.execute(sql.FURTHEST).fetchall()
        late = [(queue, at) for queue, at in rows if at is not None and at > now + most_s]

        def work(jobs: JobTransaction) -> None:
            for queue, at in late:
                values = {"priority": queue, "beyond": now + most_s, "ahead": at - now}
                jobs.connection.execute(sql.HASTEN, values)

        if late:
            self._together.transact(Doing(work))
        return bool(late)
