"""The queue as a table: claimed, changed and looked at with the same SQL on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from stretto.contexts.core.errors import KeyReused, UnknownJob
from stretto.contexts.core.identifiers import JobId, TranscriptId
from stretto.contexts.queue.adapters.connections import Clock, Connection, Database, Outbox
from stretto.contexts.queue.adapters.rows import (
    BORN_WITH,
    COLUMNS,
    UNCHANGING,
    changing_row_of,
    job_of,
    row_of,
)
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

CHANNEL: Final = "stretto_queue"
"""On which PostgreSQL tells the workers of new jobs."""

KEY_KEPT_FOR_S: Final = 24 * 3600.0
NO_LIMIT: Final = 1_000_000_000


class SqlJobs:
    """Satisfies the ports JobQueue, JobList and Housekeeping."""

    def __init__(self, database: Database, *, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        server = database.dialect == "postgresql"
        self._notify = _NOTIFY if server else ""
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
                connection.execute(_FORGET_KEY, old)
            if not connection.execute(_INSERT, row).rowcount:
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
            row = connection.execute(_GET + self._lock, {"id": str(job_id)}).fetchone()
            if row is None:
                raise unknown(job_id)
            now = self._clock.read(connection)
            change = decide(job_of(row), now)
            if change is None:
                return None
            if alongside is not None:
                alongside()
            return self._write(connection, change, now)

        return self._database.transact(work)

    def delete(self, job_id: JobId) -> bool:
        def work(connection: Connection) -> bool:
            return self._delete(connection, str(job_id))

        return self._database.transact(work)

    def delete_of(self, transcript_id: TranscriptId) -> int:
        """The jobs that made a transcript, with what is known of them. Returns how many."""

        def work(connection: Connection) -> int:
            rows = connection.execute(_OF_TRANSCRIPT, {"id": str(transcript_id)}).fetchall()
            return sum(self._delete(connection, job_id) for (job_id,) in rows)

        return self._database.transact(work)

    def get(self, job_id: JobId) -> Job | None:
        with self._database.read() as connection:
            row = connection.execute(_GET, {"id": str(job_id)}).fetchone()
        return job_of(row) if row else None

    def page(self, wanted: Wanted) -> tuple[Job, ...]:
        after = wanted.after
        values: dict[str, Any] = {
            "at": after.created_at.unix_s if after else 1e300,
            "id": str(after.id) if after else "",
            "limit": wanted.limit,
        }
        given = {"status": wanted.status and wanted.status.value, "owner": wanted.owner}
        values |= {name: value for name, value in given.items() if value is not None}
        conditions = "".join(f" AND {_CONDITIONS[name]}" for name in given if name in values)
        with self._database.read() as connection:
            rows = connection.execute(_PAGE.format(conditions=conditions), values).fetchall()
        return tuple(job_of(row) for row in rows)

    def held_by(self, holder: str) -> tuple[Job, ...]:
        with self._database.read() as connection:
            rows = connection.execute(_HELD, {"holder": holder}).fetchall()
        return tuple(job_of(row) for row in rows)

    def waits(self, look: Look) -> bool:
        with self._database.read() as connection:
            ready = self._clock.read(connection).at.unix_s - look.waited_s
            given = {"ready": ready, "suspects": SUSPICIOUS_CRASHES}
            return any(
                connection.execute(_CLAIM_NEXT, given | {"priority": int(queue)}).fetchone()
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
            rows = connection.execute(_EXPIRED, values).fetchall()
        return tuple(JobId.parse(job_id) for job_id, _ in rows)

    def renew(self, held: Sequence[tuple[JobId, int]], lease: Callable[[Moment], Lease]) -> None:
        def work(connection: Connection) -> None:
            until = lease(self._clock.read(connection))
            for job_id, fence in sorted(
                held, key=str
            ):  # in one order, so that none waits for another
                row = {"id": str(job_id), "fence": fence, "until": until.until_s}
                connection.execute(_RENEW, row | {"boot": until.boot})

        self._database.transact(work)

    def _write(self, connection: Connection, change: Change, now: Moment) -> Change:
        connection.execute(_UPDATE, changing_row_of(change.job))
        self._report(connection, change, now)
        return change

    def _report(self, connection: Connection, change: Change, now: Moment) -> None:
        job = change.job
        self._outbox.append(connection, str(job.id), *change.events)
        if self._notify and not job.holder and not job.is_over and job.run_at <= now.at:
            connection.execute(self._notify)  # heard when this is committed, and only then

    def _known(self, connection: Connection, submission: Submission) -> Job:
        row = connection.execute(_OF_KEY, {"key": submission.key}).fetchone()
        if row is None:  # the id is there, not the key: it is a random one
            raise KeyReused(f"There is a job {submission.job.id} already.")
        if row[-1] != submission.digest:
            raise KeyReused(
                f"The idempotency key {submission.key!r} belongs to another request. Use a new key "
                "for each request."
            )
        return job_of(row[:-1])

    def _delete(self, connection: Connection, job_id: str) -> bool:
        deleted = connection.execute(_DELETE, {"id": job_id}).rowcount == 1
        if deleted:
            self._outbox.forget(connection, job_id)
        return deleted


def unknown(job_id: JobId) -> UnknownJob:
    return UnknownJob(f"There is no job {job_id}. See which there are: stretto jobs list")


def _searches(
    connection: Connection, looks: Sequence[Look], only: JobId | None, now: Moment
) -> Iterator[tuple[str, dict[str, Any]]]:
    if only is not None:
        yield _CLAIM_ONE, {"id": str(only), "ready": now.at.unix_s}
        return
    for look in looks:
        ready = now.at.unix_s - look.waited_s
        for queue in look.queues if len(look.queues) == 1 else _oldest_first(connection, look):
            yield _CLAIM_NEXT, {"priority": int(queue), "ready": ready}


def _oldest_first(connection: Connection, look: Look) -> list[JobPriority]:
    return [queue for _, queue in _heads(connection, look.queues)]


def _heads(
    connection: Connection, queues: Sequence[JobPriority]
) -> list[tuple[float, JobPriority]]:
    """When the first job of each queue is ready, the soonest first."""
    rows = connection.execute(_HEADS).fetchall()
    return sorted((at, JobPriority(q)) for q, at in rows if at is not None and q in queues)


_ALL: Final = ", ".join(COLUMNS)
_SETTABLE: Final = [name for name in COLUMNS if name not in UNCHANGING]
# Put together of constants alone.
_INSERT: Final = f"""
    INSERT INTO queue_job ({", ".join(BORN_WITH)}, request_key, request_digest)
    VALUES ({", ".join(f":{name}" for name in BORN_WITH)}, :request_key, :request_digest)
    ON CONFLICT DO NOTHING
"""  # noqa: S608
_UPDATE: Final = f"""
    UPDATE queue_job SET {", ".join(f"{name} = :{name}" for name in _SETTABLE)} WHERE id = :id
"""  # noqa: S608
_GET: Final = f"SELECT {_ALL} FROM queue_job WHERE id = :id"  # noqa: S608
_OF_KEY: Final = f"""
    SELECT {_ALL}, request_digest FROM queue_job WHERE request_key = :key
"""  # noqa: S608
_FORGET_KEY: Final = """
    UPDATE queue_job SET request_key = NULL WHERE request_key = :key AND created_at < :before
"""
_CLAIMABLE: Final = f"""
    SELECT {_ALL} FROM queue_job
    WHERE status = 'queued' AND run_at <= :ready AND crashes < :suspects AND NOT EXISTS (
        SELECT 1 FROM queue_job AS same
        WHERE same.status = 'processing' AND same.work_key = queue_job.work_key
    )
"""  # noqa: S608
_CLAIM_NEXT: Final = f"{_CLAIMABLE} AND priority = :priority ORDER BY run_at, id LIMIT 1"
_CLAIM_ONE: Final = f"{_CLAIMABLE} AND id = :id LIMIT 1"
_HEADS: Final = " UNION ALL ".join(
    f"SELECT {int(queue)}, min(run_at) FROM queue_job "  # noqa: S608
    f"WHERE status = 'queued' AND priority = {int(queue)}"
    for queue in JobPriority
)
_HELD: Final = f"""
    SELECT {_ALL} FROM queue_job WHERE status = 'processing' AND holder = :holder
"""  # noqa: S608
_EXPIRED: Final = """
    SELECT id, lease_until FROM queue_job
    WHERE status = 'processing' AND lease_boot = :boot AND lease_until <= :now
    UNION ALL
    SELECT id, 0 FROM queue_job WHERE status = 'processing' AND lease_boot < :boot
    UNION ALL
    SELECT id, 0 FROM queue_job WHERE status = 'processing' AND lease_boot > :boot
    ORDER BY 2 LIMIT :limit
"""
_RENEW: Final = """
    UPDATE queue_job SET lease_until = :until, lease_boot = :boot
    WHERE id = :id AND fence = :fence AND lease_until IS NOT NULL
"""
_PAGE: Final = f"""
    SELECT {_ALL} FROM queue_job WHERE (created_at, id) < (:at, :id){{conditions}}
    ORDER BY created_at DESC, id DESC LIMIT :limit
"""  # noqa: S608
_CONDITIONS: Final = {"status": "status = :status", "owner": "owner = :owner"}
_OF_TRANSCRIPT: Final = "SELECT id FROM queue_job WHERE transcript_id = :id"
_DELETE: Final = """
    DELETE FROM queue_job WHERE id = :id AND status IN ('completed', 'failed', 'cancelled')
"""
_NOTIFY: Final = f"SELECT pg_notify('{CHANNEL}', '')"
