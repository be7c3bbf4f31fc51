"""The pace of a service as one process keeps it by itself."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from stretto.contexts.external.pace import Pace


class MemoryPaceStore:
    """Satisfies PaceStore. ``clock`` is in seconds and does not run backward."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pace = Pace()
        self._lock = Lock()

    def change(self, step: Callable[[Pace, float], Pace]) -> Pace:
        with self._lock:
            self._pace = step(self._pace, self._clock())
            return self._pace
