"""Lays an answer out so that it packs well: its words as columns, times in whole milliseconds.

A word has two times and a probability. As three doubles each they are most of an answer and cannot
be compressed; as differences of whole numbers they are a few bytes. A number that is no whole
thousandth is one after this: times to the millisecond, beliefs to a thousandth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import msgspec

from stretto.contexts.core.recognition import Recognition
from stretto.contexts.core.transcript import Segment, Word

Number = int | float
"""A whole number of thousandths, or, where there is none, the number itself."""


class Columns(msgspec.Struct, array_like=True, frozen=True):
    """``frame`` is the answer without words and tokens; ``words`` and ``tokens`` count those of
    each segment. Starts are differences to the start before, ends to the own start."""

    frame: Recognition
    words: tuple[int, ...]
    starts: tuple[Number, ...]
    ends: tuple[Number, ...]
    probabilities: tuple[Number, ...]
    texts: tuple[str, ...]
    tokens: tuple[int, ...]
    token_values: tuple[int, ...]


def columns_of(recognition: Recognition) -> Columns:
    """What is written."""
    words = [word for segment in recognition.segments for word in segment.words]
    starts = [_thousandths(word.start) for word in words]
    ends = [_thousandths(word.end) for word in words]
    return Columns(
        frame=replace(recognition, segments=tuple(map(_bare, recognition.segments))),
        words=tuple(len(segment.words) for segment in recognition.segments),
        starts=tuple(_less(one, before) for before, one in pairwise([0, *starts])),
        ends=tuple(_less(end, start) for start, end in zip(starts, ends, strict=True)),
        probabilities=tuple(_thousandths(word.probability) for word in words),
        texts=tuple(word.text for word in words),
        tokens=tuple(len(segment.tokens) for segment in recognition.segments),
        token_values=tuple(t for segment in recognition.segments for t in segment.tokens),
    )


def recognition_of(columns: Columns) -> Recognition:
    """What was meant. Raises ValueError for columns that do not fit together."""
    words = _words(columns)
    tokens = iter(columns.token_values)
    segments = tuple(
        replace(
            segment,
            words=tuple(next(words) for _ in range(count)),
            tokens=tuple(next(tokens) for _ in range(token_count)),
        )
        for segment, count, token_count in zip(
            columns.frame.segments, columns.words, columns.tokens, strict=True
        )
    )
    if next(words, None) is not None or next(tokens, None) is not None:
        raise ValueError("There are more words or tokens than the segments have.")
    return replace(columns.frame, segments=segments)


def _words(columns: Columns) -> Iterator[Word]:
    before: Number = 0
    rows = zip(columns.starts, columns.ends, columns.probabilities, columns.texts, strict=True)
    for start, end, probability, text in rows:
        before = _more(start, before)
        yield Word(
            start=_number(before),
            end=_number(_more(end, before)),
            text=text,
            probability=_number(probability),
        )


def _bare(segment: Segment) -> Segment:
    start, end = _number(_thousandths(segment.start)), _number(_thousandths(segment.end))
    return replace(segment, start=start, end=end, words=(), tokens=())


def _thousandths(value: float) -> Number:
    return round(value * 1000) if math.isfinite(value) and abs(value) < 1e12 else value


def _number(value: Number) -> float:
    return value / 1000 if isinstance(value, int) else value


def _less(value: Number, other: Number) -> Number:
    """The difference of two whole numbers; of others the first one itself."""
    return value - other if isinstance(value, int) and isinstance(other, int) else _number(value)


def _more(difference: Number, other: Number) -> Number:
    """The inverse of ``_less``."""
    if isinstance(difference, int) and isinstance(other, int):
        return difference + other
    return _thousandths(difference)
