"""Decides where a recording is cut into chunks, from the sound alone.

A pause is a cut if no other pause within reach is as quiet.
Whether it is one depends on the audio within that reach and on nothing else, so cutting the intro
off a recording, or appending to it, leaves all chunks beyond the reach of the edit byte-equal.

A long recording begins with a short chunk, its opening, which ends in the quietest pause of the
seconds in which a listener gets impatient. It takes from the first chunk only: the cuts beyond
are where they would be without it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.processing.cuts import natural_cuts
from stretto.contexts.processing.model import Pause, PlannedChunk, Samples, SizeDecision
from stretto.contexts.processing.pauses import PauseFinder

OPENING: Final = Span(6 * SAMPLE_RATE_HZ, 14 * SAMPLE_RATE_HZ)
"""Where the opening may end: after a sentence or two, in half a window of Whisper."""


class ChunkPlanner:
    """Feed it samples in pieces of any size; it answers with the chunks whose ends are certain.

    A chunk is certain once the audio one reach beyond its end has been heard.
    """

    def __init__(self, size: SizeDecision) -> None:
        self._reach = int(size.target.duration_s / 2 * SAMPLE_RATE_HZ)
        self._minimum = int(size.minimum_s * SAMPLE_RATE_HZ)
        self._maximum = int(size.maximum_s * SAMPLE_RATE_HZ)
        self._reach = min(self._reach, self._maximum // 2)
        self._opening = size.opening
        self._finder = PauseFinder()
        self._pauses: list[Pause] = []  # from one reach before the last cut onwards
        self._start = self._end = self._index = 0
        self._cut = 0  # where the last chunk ended, the opening apart

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
        if self._opening and (certain >= OPENING.end or whole):
            self._opening = False
            if (cut := self._end_of_opening()) is not None:
                chunks.append(replace(self._emit(cut, cut.position), opening=True))
        while (cut := self._next_cut(certain, whole=whole)) is not None:
            chunks.append(self._emit(cut, cut.position))
            self._cut = cut.position
        return chunks

    def _end_of_opening(self) -> Pause | None:
        """The quietest clear pause there; without one, or one sound more, there is no opening."""
        pauses = [p for p in self._pauses if OPENING.start <= p.position < OPENING.end and p.clear]
        enough = self._end >= OPENING.end
        return min(pauses, key=lambda p: p.loudness, default=None) if enough else None

    def _next_cut(self, certain: int, *, whole: bool) -> Pause | None:
        """The first natural cut after the last one; failing that, the quietest point that fits."""
        latest = self._cut + self._maximum
        for pause in natural_cuts(self._pauses, self._reach, certain, at_end=whole):
            inside = self._cut + self._minimum <= pause.position <= latest
            near_end = whole and self._end - pause.position < self._minimum
            if inside and not near_end:
                return pause
        heard = certain if whole else certain - self._reach
        if heard <= latest or (whole and self._end <= latest):
            return None
        fitting = [
            p for p in self._pauses if self._cut + self._maximum // 2 <= p.position <= latest
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
