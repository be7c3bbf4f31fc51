"""What a model hears of a window: its speech, with the long silences skipped."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

import numpy as np

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.transcript import Word
from stretto.contexts.processing.adapters.whisper.features import HOP
from stretto.contexts.processing.model import Samples
from stretto.contexts.processing.windows import heard

LEAST_SPEECH: Final = SAMPLE_RATE_HZ // 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Audio to decode: what of a chunk is heard, and the speech in that.

    ``pieces`` are the spans of the chunk that are heard, one behind the other; ``speech`` lies in
    them as they are joined.
    """

    chunk: Samples
    speech: tuple[Span, ...]
    pieces: tuple[Span, ...]

    @property
    def samples(self) -> Samples:
        """What is heard, joined anew each time: held for all windows that wait, it would be as
        much again as the chunks."""
        return np.concatenate([self.chunk[piece.start : piece.end] for piece in self.pieces])

    @property
    def place(self) -> Span:
        """From its first to its last speech, in samples of the chunk."""
        return Span(self.pieces[0].start, self.pieces[-1].end)

    @property
    def speech_s(self) -> float:
        return sum(s.duration_s for s in self.speech)

    @property
    def frames(self) -> int:
        return -(-sum(len(piece) for piece in self.pieces) // HOP)

    def in_chunk(self, word: Word) -> Word:
        """``word``, whose times count from the first sample heard, in times of the chunk.

        Where it ends at a seam, it ended before the silence there; where it starts at one, it
        started behind it.
        """
        first = bisect_right(self._starts(), word.start * SAMPLE_RATE_HZ) - 1
        last = max(first, bisect_left(self._starts(), word.end * SAMPLE_RATE_HZ) - 1)
        return replace(
            word, start=word.start + self._skipped_s(first), end=word.end + self._skipped_s(last)
        )

    def _starts(self) -> list[int]:
        """Where each piece begins in the samples."""
        return list(accumulate((len(piece) for piece in self.pieces[:-1]), initial=0))

    def _skipped_s(self, number: int) -> float:
        return (self.pieces[number].start - self._starts()[number]) / SAMPLE_RATE_HZ


def window_of(samples: Samples, span: Span, speech: Sequence[Span]) -> Window | None:
    """The part of ``span`` that is worth decoding, or None.

    ``samples``, ``span`` and ``speech`` are those of the chunk.
    """
    inside = [
        Span(max(s.start, span.start), min(s.end, span.end))
        for s in speech
        if s.start < span.end and s.end > span.start
    ]
    if sum(len(s) for s in inside) < LEAST_SPEECH:
        return None
    pieces = heard(inside)
    moved, start = [], 0
    for piece in pieces:
        within = (s for s in inside if piece.start <= s.start and s.end <= piece.end)
        moved += [s.shifted(start - piece.start) for s in within]
        start += len(piece)
    return Window(chunk=samples, speech=tuple(moved), pieces=tuple(pieces))
