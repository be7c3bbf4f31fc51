"""Decides where a recording is cut, from the sound alone: chunks, and inside them windows.

One rule on every level: a pause is a cut if no other pause within the level's reach is as quiet.
Whether it is one depends on the audio within that reach and on nothing else, so cutting the intro
off a recording, or appending to it, leaves all chunks beyond the reach of the edit byte-equal.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.processing.model import PlannedChunk, Samples, SizeDecision
from stretto.contexts.processing.pauses import Pause, PauseFinder

WINDOW_MAXIMUM: Final = 29 * SAMPLE_RATE_HZ
"""Whisper hears 30 s at a time; the last second stays silent so that it knows where to end."""

BLOCK_REACH: Final = 60 * SAMPLE_RATE_HZ
"""Windows are laid out block by block; an edit re-lays only the blocks it touches."""

WINDOW_COST: Final = 10.0
LOUDNESS_COST: Final = 1.0
"""A window more costs as much as ten bels of loudness at a cut."""


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
            windows=tuple(lay_windows(span, inside)),
            loudness_dbfs=cut.level_dbfs if cut else -120.0,
            forced=cut is not None and not cut.clear,
        )
        self._start, self._index = end, self._index + 1
        self._pauses = [p for p in self._pauses if p.position >= end - self._reach]
        return chunk


def natural_cuts(
    pauses: Sequence[Pause], reach: int, certain: int, *, at_end: bool = False
) -> list[Pause]:
    """The pauses that are quieter than all others within ``reach`` samples on both sides.

    Only those are judged whose reach lies below ``certain``, unless the recording ends there.
    Of equally quiet ones the first wins. O(n) by two monotonic sweeps.
    """
    quiet_before = _undercut(pauses, reach, strict=False)
    quiet_after = _undercut(pauses[::-1], reach, strict=True)[::-1]
    return [
        pause
        for pause, before, after in zip(pauses, quiet_before, quiet_after, strict=True)
        if not before and not after and (at_end or pause.position + reach <= certain)
    ]


def _undercut(pauses: Sequence[Pause], reach: int, *, strict: bool) -> list[bool]:
    """For each pause: is one within ``reach`` behind it quieter (or, not ``strict``, as quiet)?"""
    answers, quietest = [], list[Pause]()
    for pause in pauses:
        while quietest and quietest[-1].loudness > pause.loudness:
            quietest.pop()
        rival = quietest[-1] if quietest else None
        if strict and rival and rival.loudness == pause.loudness:
            rival = next((q for q in reversed(quietest) if q.loudness < pause.loudness), None)
        answers.append(rival is not None and abs(pause.position - rival.position) <= reach)
        quietest.append(pause)
    return answers


def lay_windows(span: Span, pauses: Sequence[Pause]) -> list[Span]:
    """Windows of at most 29 s that tile ``span``, cut at ``pauses`` where there are any.

    The chunk is first divided into blocks (see BLOCK_REACH), so that an edit inside a chunk
    leaves most of its windows as they were.
    """
    positions = [p.position for p in pauses]
    edges = [span.start]
    edges += [
        cut.position
        for cut in natural_cuts(pauses, BLOCK_REACH, span.end, at_end=True)
        if span.start + BLOCK_REACH <= cut.position <= span.end - BLOCK_REACH
    ]
    edges.append(span.end)
    windows: list[Span] = []
    for start, end in pairwise(edges):
        inside = pauses[bisect_right(positions, start) : bisect_left(positions, end)]
        windows += _lay_block(Span(start, end), inside)
    return windows


def _lay_block(block: Span, pauses: Sequence[Pause]) -> list[Span]:
    """The cheapest tiling of one block: few windows, cut where it is quietest.

    A shortest path over the possible cuts; each step is one window.
    """
    cuts = _possible_cuts(block, pauses)
    cost, back = [0.0] + [math.inf] * (len(cuts) - 1), [0] * len(cuts)
    first = 0
    for j in range(1, len(cuts)):
        position, price = cuts[j]
        while position - cuts[first][0] > WINDOW_MAXIMUM:
            first += 1
        best = min(range(first, j), key=cost.__getitem__)
        cost[j], back[j] = cost[best] + WINDOW_COST + price, best
    windows, at = [], len(cuts) - 1
    while at > 0:
        windows.append(Span(cuts[back[at]][0], cuts[at][0]))
        at = back[at]
    return windows[::-1]


def _possible_cuts(block: Span, pauses: Sequence[Pause]) -> list[tuple[int, float]]:
    """Positions with the price of cutting there, no two further apart than a window is long."""
    known = [(p.position, LOUDNESS_COST * max(0.0, p.level_dbfs + 90) / 5) for p in pauses]
    cuts = [(block.start, 0.0)]
    for position, price in [*known, (block.end, 0.0)]:
        gap = position - cuts[-1][0]
        pieces = -(-gap // WINDOW_MAXIMUM)
        last = cuts[-1][0]
        cuts += [(last + gap * k // pieces, 2 * WINDOW_COST) for k in range(1, pieces)]
        cuts.append((position, price))
    return cuts
