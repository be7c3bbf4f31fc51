"""Gives times to text that a service returned without any: sentences are laid onto the speech.

Each sentence gets a share of the speech by its length, because people speak about as many letters
in each second; sentences begin and end where somebody speaks, and their times are marked as
estimated.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.transcript import Segment

LONGEST_SENTENCE: Final = 200
"""Characters; a longer one is divided at a comma, or between words."""

SNAP_S: Final = 1.5
"""An edge between two sentences moves so far to lie in a pause of the speech."""

_END: Final = re.compile(r"(?<=[.!?…。！？])[\"'»”’)\]]*\s+|(?<=[。！？])|\n+")
_COMMA: Final = re.compile(r"(?<=[,;:—、，])\s+")


def lay_sentences(text: str, speech: Sequence[Span]) -> tuple[Segment, ...]:
    """Segments that hold all of ``text`` in order, inside ``speech`` (samples, ordered, disjoint).

    Empty when there is no text, or no speech to lay it onto.
    """
    sentences = sentences_of(text)
    spoken = [span for span in speech if len(span)]
    if not sentences or not spoken:
        return ()
    total = sum(len(span) for span in spoken)
    weights = list(accumulate(len(sentence) + 1 for sentence in sentences))
    ends = list(accumulate(len(span) for span in spoken))
    edges = [round(total * weight / weights[-1]) for weight in weights]
    edges = _snapped(edges, ends)
    segments, start = [], 0
    for sentence, planned in zip(sentences, edges, strict=True):
        edge = max(planned, min(start + 1, total))  # more sentences than samples of speech
        segments.append(
            Segment(
                start=_position(spoken, ends, start, begins=True),
                end=_position(spoken, ends, edge, begins=False),
                text=sentence,
                estimated=True,
            )
        )
        start = edge
    return tuple(segments)


def sentences_of(text: str) -> list[str]:
    """All of ``text``, cut after sentences, and in long ones at commas or between words."""
    pieces = []
    for sentence in _cut(text, _END):
        if len(sentence) <= LONGEST_SENTENCE:
            pieces.append(sentence)
        else:
            pieces += _joined(_cut(sentence, _COMMA))
    return pieces


def _cut(text: str, where: re.Pattern[str]) -> list[str]:
    cuts = [0, *(m.end() for m in where.finditer(text)), len(text)]
    found = [text[a:b].strip() for a, b in pairwise(cuts)]
    return [piece for piece in found if piece]


def _joined(parts: list[str]) -> list[str]:
    """Words put together again to pieces as long as allowed, beginning anew at each part that
    does not fit."""
    pieces: list[str] = []
    for part in parts:
        for unit in [part] if len(part) <= LONGEST_SENTENCE else part.split():
            if pieces and len(pieces[-1]) + 1 + len(unit) <= LONGEST_SENTENCE:
                pieces[-1] = f"{pieces[-1]} {unit}"
            else:
                pieces.append(unit)
    return pieces


def _snapped(edges: list[int], ends: list[int]) -> list[int]:
    """Each edge in the nearest pause, if one is near; never before the edge ahead of it."""
    reach = round(SNAP_S * SAMPLE_RATE_HZ)
    found: list[int] = []
    for edge in edges[:-1]:
        at = bisect_left(ends, edge)
        near = [e for e in ends[max(0, at - 1) : at + 1] if abs(e - edge) <= reach]
        best = min(near, key=lambda e: abs(e - edge), default=edge)
        found.append(best if not found or best > found[-1] else max(edge, found[-1]))
    return [*found, edges[-1]]


def _position(spoken: Sequence[Span], ends: list[int], spent: int, *, begins: bool) -> float:
    """The second at which ``spent`` samples of speech have passed; a beginning at the edge of two
    stretches is that of the later one."""
    at = bisect_left(ends, spent + 1 if begins else spent)
    at = min(at, len(spoken) - 1)
    before = ends[at] - len(spoken[at])
    sample = min(spoken[at].start + max(0, spent - before), spoken[at].end)
    return sample / SAMPLE_RATE_HZ
