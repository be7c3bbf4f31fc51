"""Turns segments into cues: text that fits the layout, times that every player accepts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from stretto.contexts.core.transcript import Segment, Transcript
from stretto.interfaces.formats.atoms import atoms_of
from stretto.interfaces.formats.breaking import cues_of, lines_of
from stretto.interfaces.formats.cleaning import milliseconds, one_line
from stretto.interfaces.formats.layout import SubtitleLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """What is shown from ``start_ms`` until ``end_ms``: one or more lines, none of them blank."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def cues_from(transcript: Transcript, *, layout: SubtitleLayout) -> Iterator[Cue]:
    """Cues in order that do not overlap and last 1 ms at least; segments without text give none.

    Where the times of two segments overlap, the earlier cue ends when the later one begins.
    """
    wanted = [cue for segment in transcript.segments for cue in _segment_cues(segment, layout)]
    floor_ms = 0
    for position, cue in enumerate(wanted):
        next_ms = wanted[position + 1].start_ms if position + 1 < len(wanted) else cue.end_ms
        end_ms = min(cue.end_ms, next_ms) if next_ms > cue.start_ms else cue.end_ms
        start_ms = max(cue.start_ms, floor_ms)
        floor_ms = max(end_ms, start_ms + 1)
        yield Cue(start_ms=start_ms, end_ms=floor_ms, lines=cue.lines)


def _segment_cues(segment: Segment, layout: SubtitleLayout) -> Iterator[Cue]:
    groups = cues_of(atoms_of(one_line(segment.text)), layout=layout)
    clock = _SegmentClock(segment)
    ends = list(accumulate(sum(len(atom.text) for atom in group) for group in groups))
    for start, end, group in zip([0, *ends], ends, groups, strict=False):
        yield Cue(
            start_ms=clock.start_ms(start),
            end_ms=clock.end_ms(end),
            lines=lines_of(group, layout=layout),
        )


class _SegmentClock:
    """Tells when the n-th character of a segment is spoken, blanks not counted.

    It goes by the words' times where the words spell the segment's text, and else supposes that
    all characters take the same time. The first and the last cue keep the segment's own times.
    """

    def __init__(self, segment: Segment) -> None:
        self._start = milliseconds(segment.start)
        self._end = max(self._start, milliseconds(segment.end))
        text = _without_blanks(segment.text)
        spelled = [(_without_blanks(w.text), w.start, w.end) for w in segment.words]
        if "".join(word for word, _, _ in spelled) != text:
            spelled = [(text, segment.start, segment.end)]
        heard = [(len(word), start, end) for word, start, end in spelled if word]
        self._lengths = [length for length, _, _ in heard]
        self._spans = [(milliseconds(start), milliseconds(end)) for _, start, end in heard]
        self._ends = list(accumulate(self._lengths))

    def start_ms(self, offset: int) -> int:
        """When the character at ``offset`` begins."""
        return self._at(bisect_right(self._ends, offset), offset) if offset else self._start

    def end_ms(self, offset: int) -> int:
        """When the character before ``offset`` ends."""
        if offset == self._ends[-1]:
            return self._end
        return self._at(bisect_left(self._ends, offset), offset)

    def _at(self, word: int, offset: int) -> int:
        start, end = self._spans[word]
        past = offset - (self._ends[word] - self._lengths[word])
        moment = start + round((end - start) * past / self._lengths[word])
        return min(max(moment, self._start), self._end)


def _without_blanks(text: str) -> str:
    return one_line(text).replace(" ", "")
