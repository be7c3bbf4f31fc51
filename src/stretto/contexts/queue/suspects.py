"""When a worker takes nothing more, so that a job that has to run alone has its turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stretto.contexts.queue.model import JobPriority, Look, WorkerNode
from stretto.contexts.queue.ports import JobList, Workers

PATIENCE_S: Final = 60.0
"""So long a suspect waits for a worker that has nothing in its hands by itself: most have, between
two jobs, and then nobody's hand is idle for it."""


@dataclass(slots=True, kw_only=True)
class SuspectWatch:
    """Of one worker, which asks every ``every_s`` while it works and has a hand free.

    The turn of a suspect is when it is the first of its queue and has waited for ``PATIENCE_S``:
    then the oldest worker makes way for it, and one more for each time that it waits as long again.
    So the others go on, and whichever is empty first has it.
    """

    node: WorkerNode
    listed: JobList
    workers: Workers
    every_s: float
    clock: Callable[[], float] = time.monotonic
    _asked_at: float = float("-inf")
    _found: Look | None = None

    def look(self) -> Look | None:
        """Where a suspect is that this worker has to be alone for. Raises StorageUnavailable."""
        if self.clock() - self._asked_at >= self.every_s:
            self._found = self._ask()
            self._asked_at = self.clock()
        return self._found

    def found(self) -> Look | None:
        """The same, once, for a worker that is alone by now."""
        found, self._found = self._found, None
        return found

    def _ask(self) -> Look | None:
        return next((look for look in map(self._look_at, self.node.queues) if look), None)

    def _look_at(self, queue: JobPriority) -> Look | None:
        look = Look(queues=(queue,), waited_s=PATIENCE_S)
        if not self._is_suspect(look):
            return None
        others = [node for node in self.workers.alive() if queue in node.queues]
        older = sum(_age(node) < _age(self.node) for node in others)
        mine = Look(queues=(queue,), waited_s=PATIENCE_S * (1 + older))
        return look if not older or self._is_suspect(mine) else None

    def _is_suspect(self, look: Look) -> bool:
        job = self.listed.first(look)
        return job is not None and job.is_suspect


def _age(node: WorkerNode) -> tuple[float, str]:
    return node.started_at.unix_s, node.id
