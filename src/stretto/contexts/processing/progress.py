"""Counts audio seconds that are done; what it reports never falls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.core.identifiers import ChunkId
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.processing.model import PlannedChunk, ProcessingProgress

ALMOST = 0.99

logger = logging.getLogger(__name__)


class ProgressTracker:
    """Thread-safe; ``changed`` hears of each new state, one call at a time and in order."""

    def __init__(
        self,
        claimed_duration_s: float | None,
        changed: Callable[[ProcessingProgress], None] | None = None,
    ) -> None:
        self._total = _samples(claimed_duration_s)
        self._changed = changed
        self._partly: dict[ChunkId, int] = {}
        self._done = self._highest = 0
        self._fraction = 0.0
        self._total_is_true = False
        self._chunks_done = self._chunks_known = 0
        self._lock = Lock()

    def planned(self, chunk: PlannedChunk) -> None:
        with self._lock:
            self._chunks_known = max(self._chunks_known, chunk.index + 1)
            if self._total is not None:
                self._total = max(self._total, chunk.span.end)

    def decoded(self, duration_s: float) -> None:
        """The end of the file was reached: from here on the total is the truth."""
        with self._lock:
            self._total = _samples(duration_s)
            self._total_is_true = True
            self._report()

    def progressed(self, chunk: ChunkId, done_s: float) -> None:
        with self._lock:
            self._partly[chunk] = max(_samples(done_s) or 0, self._partly.get(chunk, 0))
            self._report()

    def finished(self, chunk: ChunkId, duration_s: float) -> None:
        with self._lock:
            self._partly.pop(chunk, None)
            self._done += _samples(duration_s) or 0
            self._chunks_done += 1
            self._report()

    def finish_at_once(self, transcript: Transcript) -> None:
        """All of it is there already."""
        with self._lock:
            self._done = self._total = _samples(transcript.duration_s) or 0
            self._total_is_true = True
            self._chunks_done = self._chunks_known = transcript.cache.hits + transcript.cache.misses
            self._report()

    @property
    def current(self) -> ProcessingProgress:
        with self._lock:
            return self._state()

    def _state(self) -> ProcessingProgress:
        self._highest = max(self._highest, self._done + sum(self._partly.values()))
        self._fraction = max(self._fraction, self._share_done())
        return ProcessingProgress(
            done_s=self._highest / SAMPLE_RATE_HZ,
            total_s=None if self._total is None else self._total / SAMPLE_RATE_HZ,
            fraction=self._fraction,
            chunks_done=self._chunks_done,
            chunks_known=self._chunks_known,
        )

    def _share_done(self) -> float:
        if not self._total:
            return 1.0 if self._total_is_true else 0.0
        share = min(1.0, self._highest / self._total)
        # A header may claim less than there is: nothing is finished before the end was read.
        return share if self._total_is_true else min(share, ALMOST)

    def _report(self) -> None:
        if self._changed is None:
            return
        try:
            self._changed(self._state())
        except Exception:
            logger.exception("Whoever watches the progress failed; the transcription goes on.")


def _samples(seconds: float | None) -> int | None:
    """Whole samples: sums of them are exact in any order."""
    return None if seconds is None else round(seconds * SAMPLE_RATE_HZ)
