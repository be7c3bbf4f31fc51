"""Breaks a segment into cues and a cue into lines: as few as fit, balanced, after punctuation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from stretto.interfaces.formats.atoms import Atom, joined
from stretto.interfaces.formats.layout import SubtitleLayout

_CLOSING: Final = frozenset(".,;:!?…%)]}»”’、。，．：；！？）」』】〉》〕ー؟،؛۔।ๆฯ")
_OPENING: Final = frozenset("([{«“‘¿¡（「『【〈《〔")
_SENTENCE_ENDS: Final = frozenset(".!?…。！？؟۔।")
_CLAUSE_ENDS: Final = frozenset(",;:—–、，；：،؛")
_QUOTES: Final = "\"'»”’)]}」』）】"

# What a break costs beside the squared fill of what it separates. Two lines that differ by 2 x 9
# of 42 columns cost 2 * (9 / 42) ** 2 = 0.09 more than two equal ones: a comma is worth just that.
_AFTER_SENTENCE: Final = -0.2
_AFTER_CLAUSE: Final = -0.1
_WITHOUT_BLANK: Final = 0.05
_TORN_PUNCTUATION: Final = 1.0

Reach = Callable[[int], Iterator[tuple[int, float]]]
"""From the first atom of a group to every end it may have, and how full it is then (1 = full)."""


def cues_of(atoms: Sequence[Atom], *, layout: SubtitleLayout) -> list[Sequence[Atom]]:
    """The atoms of each cue, as few cues as the layout allows."""
    width, count = layout.max_line_width, layout.max_line_count
    if width is None or count is None:
        return [atoms] if atoms else []

    def reach(start: int) -> Iterator[tuple[int, float]]:
        lines, line_width, total = 1, 0, 0
        for index in range(start, len(atoms)):
            atom = atoms[index]
            added = atom.width + _blank(atom, line_width)
            if line_width and line_width + added > width:
                lines, line_width, added = lines + 1, 0, atom.width
            if lines > count:
                return
            line_width += added
            total += added
            yield index + 1, total / (width * count)

    return _partition(atoms, reach)


def lines_of(atoms: Sequence[Atom], *, layout: SubtitleLayout) -> tuple[str, ...]:
    """The lines of one cue; only a single atom may be wider than the layout allows."""
    width = layout.max_line_width
    if width is None:
        return (joined(atoms),)

    def reach(start: int) -> Iterator[tuple[int, float]]:
        total = 0
        for index in range(start, len(atoms)):
            total += atoms[index].width + _blank(atoms[index], total)
            if total > width and index > start:
                return
            yield index + 1, total / width

    return tuple(joined(line) for line in _partition(atoms, reach))


def _partition(atoms: Sequence[Atom], reach: Reach) -> list[Sequence[Atom]]:
    """The fewest groups, and among those the cheapest. With a fixed sum, squares prefer equals."""
    size = len(atoms)
    best = [(0, 0.0, size)] * (size + 1)
    for start in reversed(range(size)):
        best[start] = min(
            (best[end][0] + 1, best[end][1] + fill**2 + _break_cost(atoms, end), end)
            for end, fill in reach(start)
        )
    groups, start = [], 0
    while start < size:
        end = best[start][2]
        groups.append(atoms[start:end])
        start = end
    return groups


def _blank(atom: Atom, width_before: int) -> int:
    return 0 if atom.glued or not width_before else 1


def _break_cost(atoms: Sequence[Atom], position: int) -> float:
    if position == len(atoms):
        return 0.0
    before, after = atoms[position - 1].text, atoms[position]
    cost = _WITHOUT_BLANK if after.glued else 0.0
    if after.text[0] in _CLOSING or before[-1] in _OPENING:
        return cost + _TORN_PUNCTUATION
    mark = before.rstrip(_QUOTES)[-1:]
    if mark in _SENTENCE_ENDS:
        return cost + _AFTER_SENTENCE
    return cost + (_AFTER_CLAUSE if mark in _CLAUSE_ENDS else 0.0)
