"""Writes the segments of a transcript as rows of their own, with the words as they are sought."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stretto.contexts.core.text import storable
from stretto.contexts.core.transcript import Segment, Transcript
from stretto.contexts.processing.adapters import stemming
from stretto.contexts.processing.adapters.connections import Connection
from stretto.contexts.processing.searching import tokens_of

TimedWord = tuple[str, int, int]
"""A word with its start and end in milliseconds."""

_WORDS: Final = msgspec.msgpack.Decoder(list[TimedWord])


def segment_rows(transcript: Transcript) -> list[dict[str, Any]]:
    """One row for each segment, in order; all that takes time is done here, before a lock."""
    return [_row(position, segment) for position, segment in enumerate(transcript.segments)]


def write_segments(connection: Connection, transcript: int, rows: Sequence[dict[str, Any]]) -> None:
    """Put ``rows`` in the place of those that the transcript of that number has."""
    connection.execute(_DELETE, {"transcript": transcript})
    if rows:
        connection.executemany(_INSERT, [row | {"transcript": transcript} for row in rows])


def time_of(character: int, text: str, words: bytes, *, otherwise: float) -> float:
    """When the word at that place of the segment's ``text`` is said, in seconds.

    ``otherwise`` is the answer for a segment without word times.
    """
    position = 0
    found = otherwise
    for word, start_ms, _ in _WORDS.decode(words):
        place = text.find(word.strip(), position)
        if place > character:
            break
        if place >= 0:
            position = place + len(word.strip())
            found = start_ms / 1000
    return found


def _row(position: int, segment: Segment) -> dict[str, Any]:
    text = storable(segment.text.strip())
    words = [(storable(w.text), _ms(w.start), _ms(w.end)) for w in segment.words]
    return {
        "position": position,
        "start_s": segment.start,
        "end_s": segment.end,
        "text": text,
        "stems": " ".join(token.stem for token in tokens_of(text, stem=stemming.stem)),
        "words": msgspec.msgpack.encode(words),
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


_DELETE: Final = "DELETE FROM segment WHERE transcript = :transcript"
_INSERT: Final = """
    INSERT INTO segment (transcript, position, start_s, end_s, text, stems, words)
    VALUES (:transcript, :position, :start_s, :end_s, :text, :stems, :words)
"""
