"""Which jobs could be claimed, for whoever sees to it that workers are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.adapters.connections import Clock, Database
from stretto.contexts.queue.adapters.statements import READY
from stretto.contexts.queue.model import JobPriority


class SqlReadyJobs:
    """Satisfies the port ReadyJobs."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def ready(
        self, queues: Iterable[JobPriority], *, limit: int
    ) -> Mapping[JobPriority, tuple[JobId, ...]]:
        with self._database.read() as connection:
            now = self._clock.read(connection).at.unix_s
            found = {
                queue: connection.execute(
                    _READY, {"priority": int(queue), "ready": now, "limit": limit}
                ).fetchall()
                for queue in queues
            }
        return {
            queue: tuple(JobId.parse(job_id) for (job_id,) in rows) for queue, rows in found.items()
        }


_READY: Final = f"""
    SELECT id FROM queue_job WHERE {READY} AND priority = :priority
    ORDER BY run_at, id LIMIT :limit
"""  # noqa: S608
