"""Lays the windows of a chunk: what an engine with a short ear, such as Whisper, hears at a time.

Windows tile the chunk, are cut in pauses, and are as few as can be. Only what is heard counts:
of each stretch without speech a tenth of a second is left, and the rest is skipped.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.processing.cuts import natural_cuts
from stretto.contexts.processing.model import AudioChunk, Pause

KEPT_SILENCE: Final = SAMPLE_RATE_HZ // 10
BLOCK_REACH: Final = 60 * SAMPLE_RATE_HZ
"""Windows are laid out block by block; an edit re-lays only the blocks it touches."""

WINDOW_COST: Final = 10.0
LOUDNESS_COST: Final = 1.0
"""A window more costs as much as ten bels of loudness at a cut."""


def heard(speech: Sequence[Span]) -> list[Span]:
    """What to hear of ``speech``, from its first to its last sample, in order and disjoint.

    Silence up to ``KEPT_SILENCE`` stays; of a longer one half as much on either side.
    """
    spans: list[Span] = []
    for span in speech:
        silence = span.start - spans[-1].end if spans else 0
        if not spans:
            spans.append(span)
        elif silence <= KEPT_SILENCE:
            spans[-1] = Span(spans[-1].start, span.end)
        else:
            half = KEPT_SILENCE // 2
            spans[-1] = Span(spans[-1].start, spans[-1].end + half)
            spans.append(Span(span.start - half, span.end))
    return spans


def lay_windows(chunk: AudioChunk, longest: int) -> list[Span]:
    """Windows that tile ``chunk``, in samples from its start; in each at most ``longest`` samples
    are heard.

    The chunk is first divided into blocks (see BLOCK_REACH), so that an edit inside a chunk
    leaves most of its windows as they were.
    """
    whole, pauses = Span(0, len(chunk.samples)), chunk.pauses
    positions = [p.position for p in pauses]
    edges = [whole.start]
    edges += [
        cut.position
        for cut in natural_cuts(pauses, BLOCK_REACH, whole.end, at_end=True)
        if whole.start + BLOCK_REACH <= cut.position <= whole.end - BLOCK_REACH
    ]
    edges.append(whole.end)
    spans = heard(chunk.speech or ())
    windows: list[Span] = []
    for start, end in pairwise(edges):
        inside = pauses[bisect_right(positions, start) : bisect_left(positions, end)]
        windows += _lay_block(Span(start, end), inside, spans, longest)
    return windows


def _lay_block(
    block: Span, pauses: Sequence[Pause], spans: Sequence[Span], longest: int
) -> list[Span]:
    """The cheapest tiling of one block: few windows, cut where it is quietest.

    A shortest path over the possible cuts; each step is one window.
    """
    cuts = _possible_cuts(block, pauses, longest)
    until = _heard_until([position for position, _ in cuts], spans)
    cost, back = [0.0] + [math.inf] * (len(cuts) - 1), [0] * len(cuts)
    first = 0
    for j in range(1, len(cuts)):
        while until[j] - until[first] > longest:
            first += 1
        best = min(range(first, j), key=cost.__getitem__)
        cost[j], back[j] = cost[best] + WINDOW_COST + cuts[j][1], best
    windows, at = [], len(cuts) - 1
    while at > 0:
        windows.append(Span(cuts[back[at]][0], cuts[at][0]))
        at = back[at]
    return windows[::-1]


def _heard_until(positions: Sequence[int], spans: Sequence[Span]) -> list[int]:
    """How many samples of ``spans`` lie before each of ``positions``."""
    if not spans:
        return [0] * len(positions)
    edges = np.array([(span.start, span.end) for span in spans])
    heard_before = np.concatenate(([0], np.cumsum(edges[:, 1] - edges[:, 0])))
    knots = np.repeat(heard_before, 2)[1:-1]
    found: list[int] = np.interp(positions, edges.ravel(), knots).astype(int).tolist()
    return found


def _possible_cuts(block: Span, pauses: Sequence[Pause], longest: int) -> list[tuple[int, float]]:
    """Positions with the price of cutting there, no two further apart than a window is long."""
    known = [(p.position, LOUDNESS_COST * max(0.0, p.level_dbfs + 90) / 5) for p in pauses]
    cuts = [(block.start, 0.0)]
    for position, price in [*known, (block.end, 0.0)]:
        last = cuts[-1][0]
        gap = position - last
        pieces = -(-gap // longest)
        cuts += [(last + gap * k // pieces, 2 * WINDOW_COST) for k in range(1, pieces)]
        cuts.append((position, price))
    return cuts
