"""Gives the words of one text the times at which another engine heard the same words.

The two texts are matched as sequences of words (longest common subsequence, Wagner and Fischer
1974); words in between, which only one of them has, share the time that is left for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from stretto.contexts.core.transcript import Segment, Word

MOST_CELLS: Final = 50_000_000
"""Texts whose product of words is larger are not matched: that is no speech any more."""

UNHEARD: Final = 0.0
"""The belief in the time of a word that the other engine did not hear."""

ENOUGH: Final = 0.5
"""A segment of whose words so many were heard has real times."""


def timed_by(segments: Sequence[Segment], heard: Sequence[Word]) -> tuple[Segment, ...]:
    """``segments`` with the times of ``heard`` (ordered); as they were where nothing matches."""
    texts = [segment.text.split() for segment in segments]
    spoken = [word for text in texts for word in text]
    pairs = _matches([_plain(word) for word in spoken], [_plain(word.text) for word in heard])
    if not pairs:
        return tuple(segments)
    words = _timed(spoken, heard, pairs)
    found, at = [], 0
    for segment, text in zip(segments, texts, strict=True):
        mine = words[at : at + len(text)]
        at += len(text)
        known = sum(at - len(text) <= place < at for place in pairs)
        found.append(_retimed(segment, mine) if text and known >= ENOUGH * len(text) else segment)
    return _in_order(found)


def _plain(word: str) -> str:
    """As it is compared: letters and digits, small."""
    return "".join(c for c in word.casefold() if c.isalnum())


def _matches(spoken: Sequence[str], heard: Sequence[str]) -> dict[int, int]:
    """Places in ``spoken`` with their places in ``heard``, both rising."""
    if not spoken or not heard or len(spoken) * len(heard) > MOST_CELLS:
        return {}
    names = {word: number for number, word in enumerate({*spoken, *heard} - {""}, start=1)}
    other = np.array([names.get(word, 0) for word in heard])
    longest = np.zeros((len(spoken) + 1, len(heard) + 1), np.int16)
    for row, word in enumerate(spoken, start=1):
        same = (other == names.get(word, -1)).astype(np.int16)
        longest[row, 1:] = np.maximum(longest[row - 1, 1:], longest[row - 1, :-1] + same)
        longest[row] = np.maximum.accumulate(longest[row])
    pairs, i, j = {}, len(spoken), len(heard)
    while i and j:
        if longest[i, j] == longest[i - 1, j]:
            i -= 1
        elif longest[i, j] == longest[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs[i] = j
    return pairs


def _timed(spoken: Sequence[str], heard: Sequence[Word], pairs: dict[int, int]) -> list[Word]:
    """Every word of ``spoken`` with times: its own, or a share of what is free around it."""
    words: list[Word] = []
    places = sorted(pairs)
    edges = [-1, *places, len(spoken)]
    for before, after in pairwise(edges):
        start = heard[pairs[before]].end if before >= 0 else heard[pairs[after]].start
        end = heard[pairs[after]].start if after < len(spoken) else start
        count = after - before - 1
        step = max(0.0, end - start) / count if count else 0.0
        words += [
            Word(
                start=start + step * n,
                end=start + step * (n + 1),
                text=spoken[before + 1 + n],
                probability=UNHEARD,
            )
            for n in range(count)
        ]
        if after < len(spoken):
            words.append(replace(heard[pairs[after]], text=spoken[after]))
    return words


def _retimed(segment: Segment, words: Sequence[Word]) -> Segment:
    return replace(
        segment, start=words[0].start, end=words[-1].end, words=tuple(words), estimated=False
    )


def _in_order(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Segments that kept estimated times give way to those beside them that are known."""
    found: list[Segment] = []
    for index, segment in enumerate(segments):
        earliest = found[-1].end if found else 0.0
        following = next((s.start for s in segments[index + 1 :] if not s.estimated), None)
        start = max(segment.start, earliest)
        end = max(start, segment.end)
        if segment.estimated and following is not None:
            start, end = min(start, max(earliest, following)), min(end, max(earliest, following))
        found.append(replace(segment, start=start, end=end))
    return tuple(found)
