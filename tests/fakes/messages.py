"""A broker in memory, which can be away and can lose what it has."""

from __future__ import annotations

from collections import deque

from stretto.contexts.core.errors import BrokerUnavailable
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.model import JobPriority


class MemoryMessages:
    """Satisfies the port Messages."""

    def __init__(self) -> None:
        self.queues: dict[JobPriority, deque[JobId]] = {one: deque() for one in JobPriority}
        self.away = False
        self.tries = 0

    @property
    def place(self) -> str:
        return "memory"

    def send(self, job_id: JobId, priority: JobPriority) -> None:
        self._reached().queues[priority].append(job_id)

    def count(self, priority: JobPriority) -> int:
        return len(self._reached().queues[priority])

    def close(self) -> None:
        pass

    def _reached(self) -> MemoryMessages:
        self.tries += 1
        if self.away:
            raise BrokerUnavailable
        return self
