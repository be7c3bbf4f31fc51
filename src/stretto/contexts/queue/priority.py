"""Which job is next: the higher priority first, but nobody is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stretto.contexts.queue.model import JobPriority, Look


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityManager:
    """Three claims of four go to the highest priority that has a job; the fourth goes to the job
    that has waited longest, if that is ``patience_s`` or more, whatever its priority (ageing).

    So a job of high priority waits for at most one turn of a worker, and under any load a quarter
    of the work is for those who have waited.
    """

    patience_s: float = 60.0
    every: int = 4

    def looks(self, queues: Sequence[JobPriority], *, turn: int) -> tuple[Look, ...]:
        """Where the claim number ``turn`` of a worker looks, one after the other.

        >>> PriorityManager().looks([JobPriority.LOW, JobPriority.HIGH], turn=0)[0].queues
        (<JobPriority.HIGH: 0>,)
        """
        ordered = tuple(sorted(set(queues)))
        strict = tuple(Look(queues=(queue,)) for queue in ordered)
        if turn % self.every != self.every - 1 or len(ordered) < 2:
            return strict
        return (Look(queues=ordered, waited_s=self.patience_s), *strict)
