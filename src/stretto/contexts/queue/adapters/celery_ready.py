"""Which jobs could be claimed, for whoever sees to it that workers are called."""

from __future__ import annotations

from typing import Final

from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.adapters.connections import Clock, Database
from stretto.contexts.queue.model import JobPriority


class SqlReadyJobs:
    """Satisfies the port ReadyJobs."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def ready(self, queue: JobPriority, *, limit: int) -> tuple[JobId, ...]:
        with self._database.read() as connection:
            now = self._clock.read(connection).at.unix_s
            values = {"priority": int(queue), "ready": now, "limit": limit}
            rows = connection.execute(_READY, values).fetchall()
        return tuple(JobId.parse(job_id) for (job_id,) in rows)


_READY: Final = """
    SELECT id FROM queue_job WHERE status = 'queued' AND priority = :priority AND run_at <= :ready
    ORDER BY run_at, id LIMIT :limit
"""
