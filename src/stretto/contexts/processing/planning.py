"""Decides where a recording is cut into chunks, from the sound alone.

A pause is a cut if no other pause within reach is as quiet.
Whether it is one depends on the audio within that reach and on nothing else, so cutting the intro
off a recording, or appending to it, leaves all chunks beyond the reach of the edit byte-equal.
"""

from __future__ import annotations

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.processing.cuts import natural_cuts
from stretto.contexts.processing.model import Pause, PlannedChunk, Samples, SizeDecision
from stretto.contexts.processing.pauses import PauseFinder


class ChunkPlanner:
    """Feed it samples in pieces of any size; it answers with the chunks whose ends are certain.

    A chunk is certain once the audio one reach beyond its end has been heard.
    """

    def __init__(self, size: SizeDecision) -> None:
        self._reach = int(size.target.duration_s / 2 * SAMPLE_RATE_HZ)
        self._minimum = int(size.minimum_s * SAMPLE_RATE_HZ)
        self._maximum = int(size.maximum_s * SAMPLE_RATE_HZ)
        self._reach = min(self._reach, self._maximum // 2)
        self._finder = PauseFinder()
        self._pauses: list[Pause] = []  # from one reach before the last cut onwards
        self._start = self._end = self._index = 0

    def feed(self, samples: Samples) -> list[PlannedChunk]:
        self._end += len(samples)
        self._pauses += self._finder.feed(samples)
        return self._take(self._finder.certain, whole=False)

    def finish(self) -> list[PlannedChunk]:
        """The rest; empty for a recording without samples."""
        self._pauses += self._finder.finish()
        chunks = self._take(self._end, whole=True)
        if self._end > self._start:
            chunks.append(self._emit(None, self._end))
        return chunks

    def _take(self, certain: int, *, whole: bool) -> list[PlannedChunk]:
        chunks = []
        while (cut := self._next_cut(certain, whole=whole)) is not None:
            chunks.append(self._emit(cut, cut.position))
        return chunks

    def _next_cut(self, certain: int, *, whole: bool) -> Pause | None:
        """The first natural cut after the last one; failing that, the quietest point that fits."""
        latest = self._start + self._maximum
        for pause in natural_cuts(self._pauses, self._reach, certain, at_end=whole):
            inside = self._start + self._minimum <= pause.position <= latest
            near_end = whole and self._end - pause.position < self._minimum
            if inside and not near_end:
                return pause
        heard = certain if whole else certain - self._reach
        if heard <= latest or (whole and self._end <= latest):
            return None
        fitting = [
            p for p in self._pauses if self._start + self._maximum // 2 <= p.position <= latest
        ]
        if fitting:
            return min(fitting, key=lambda p: p.loudness)
        return Pause(latest, 0, level_dbfs=0.0, surroundings_dbfs=0.0)

    def _emit(self, cut: Pause | None, end: int) -> PlannedChunk:
        span = Span(self._start, end)
        inside = [p for p in self._pauses if span.start < p.position < span.end]
        chunk = PlannedChunk(
            index=self._index,
            span=span,
            pauses=tuple(inside),
            loudness_dbfs=cut.level_dbfs if cut else -120.0,
            forced=cut is not None and not cut.clear,
        )
        self._start, self._index = end, self._index + 1
        self._pauses = [p for p in self._pauses if p.position >= end - self._reach]
        return chunk
