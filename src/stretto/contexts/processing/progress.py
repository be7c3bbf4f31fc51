"""Counts audio seconds that are done; what it reports never falls."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from stretto.contexts.core.identifiers import ChunkId
from stretto.contexts.processing.model import PlannedChunk, ProcessingProgress

ALMOST = 0.99


class ProgressTracker:
    """Thread-safe; ``changed`` hears of each new state, one call at a time and in order."""

    def __init__(
        self,
        claimed_duration_s: float | None,
        changed: Callable[[ProcessingProgress], None] | None = None,
    ) -> None:
        self._total_s = claimed_duration_s
        self._changed = changed
        self._partly: dict[ChunkId, float] = {}
        self._done_s = 0.0
        self._highest_s = self._fraction = 0.0
        self._total_is_true = False
        self._chunks_done = self._chunks_known = 0
        self._lock = Lock()

    def planned(self, chunk: PlannedChunk) -> None:
        with self._lock:
            self._chunks_known = max(self._chunks_known, chunk.index + 1)
            if self._total_s is not None:
                self._total_s = max(self._total_s, chunk.span.end_s)

    def decoded(self, duration_s: float) -> None:
        """The end of the file was reached: from here on the total is the truth."""
        with self._lock:
            self._total_s = duration_s
            self._total_is_true = True
            self._report()

    def progressed(self, chunk: ChunkId, done_s: float) -> None:
        with self._lock:
            self._partly[chunk] = max(done_s, self._partly.get(chunk, 0.0))
            self._report()

    def finished(self, chunk: ChunkId, duration_s: float) -> None:
        with self._lock:
            self._partly.pop(chunk, None)
            self._done_s += duration_s
            self._chunks_done += 1
            self._report()

    @property
    def current(self) -> ProcessingProgress:
        with self._lock:
            return self._state()

    def _state(self) -> ProcessingProgress:
        done_s = self._done_s + sum(self._partly.values())
        self._highest_s = max(self._highest_s, done_s)
        self._fraction = max(self._fraction, self._share_done())
        return ProcessingProgress(
            done_s=self._highest_s,
            total_s=self._total_s,
            fraction=self._fraction,
            chunks_done=self._chunks_done,
            chunks_known=self._chunks_known,
        )

    def _share_done(self) -> float:
        if not self._total_s:
            return 1.0 if self._total_is_true else 0.0
        share = min(1.0, self._highest_s / self._total_s)
        # A header may claim less than there is: nothing is finished before the end was read.
        return share if self._total_is_true else min(share, ALMOST)

    def _report(self) -> None:
        if self._changed is not None:
            self._changed(self._state())
