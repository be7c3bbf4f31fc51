"""How the queue is doing, in numbers: what waits, how long, what runs, what was given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stretto.contexts.queue.adapters.connections import Clock, Database
from stretto.contexts.queue.model import JobPriority


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatistics:
    """``oldest_s`` is how long the first ready job of a queue has been ready; 0 without one."""

    depth: Mapping[JobPriority, int]
    oldest_s: Mapping[JobPriority, float]
    running: int
    dead: int
    workers: int


class SqlQueueStatistics:
    """Asks the tables; a handful of statements, each answered by an index."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def now(self) -> QueueStatistics:
        """Raises StorageUnavailable."""
        with self._database.read() as connection:
            now = self._clock.read(connection)
            waiting = {
                p: connection.execute(_WAITING, {"p": int(p)}).fetchone() for p in JobPriority
            }
            (running,) = connection.execute(_RUNNING).fetchone()
            (dead,) = connection.execute(_DEAD).fetchone()
            values = {"now": now.lease_s, "boot": now.boot}
            (workers,) = connection.execute(_WORKERS, values).fetchone()
        oldest = {
            p: max(0.0, now.at.unix_s - (first or now.at.unix_s))
            for p, (_, first) in waiting.items()
        }
        return QueueStatistics(
            depth={priority: int(count) for priority, (count, _) in waiting.items()},
            oldest_s=oldest,
            running=int(running),
            dead=int(dead),
            workers=int(workers),
        )


_WAITING: Final = """
    SELECT count(*), min(run_at) FROM queue_job WHERE status = 'queued' AND priority = :p
"""
_RUNNING: Final = "SELECT count(*) FROM queue_job WHERE status = 'processing'"
_DEAD: Final = "SELECT count(*) FROM queue_job WHERE status = 'failed'"
_WORKERS: Final = """
    SELECT count(*) FROM queue_worker WHERE lease_until > :now AND lease_boot = :boot
"""
