"""Writes plain text (txt), the same with times (timed), and a table for spreadsheets (tsv)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stretto.contexts.core.transcript import Segment, Transcript
from stretto.interfaces.formats.cleaning import milliseconds, one_line
from stretto.interfaces.formats.layout import SubtitleLayout

_FORMULA_STARTS: Final = ("=", "+", "-", "@", '"')
"""What makes a spreadsheet run a cell as a formula; a quotation mark could hide one behind it,
or swallow the rows that follow."""


def txt(transcript: Transcript, layout: SubtitleLayout) -> str:
    """One line for each segment that has text."""
    return "".join(map(txt_line, transcript.segments))


def txt_line(segment: Segment) -> str:
    text = one_line(segment.text)
    return f"{text}\n" if text else ""


def timed(transcript: Transcript, layout: SubtitleLayout) -> str:
    """As txt, with the start of each segment before it: ``[0:01:02.5] It was the best``."""
    return "".join(map(timed_line, transcript.segments))


def timed_line(segment: Segment) -> str:
    text = txt_line(segment)
    return text and f"[{_reading(segment.start)}] {text}"


def _reading(seconds: float) -> str:
    """Hours, minutes, seconds and tenths. Example: 3725.26 is ``1:02:05.3``."""
    tenths = (milliseconds(seconds) + 50) // 100
    minutes, rest = divmod(tenths, 600)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 10:02}.{rest % 10}"


def tsv(transcript: Transcript, layout: SubtitleLayout) -> str:
    """A header, then start and end in whole milliseconds and the text, between tabs."""
    rows = (
        f"{milliseconds(s.start)}\t{milliseconds(s.end)}\t{_harmless(text)}\n"
        for s, text in _texts(transcript)
    )
    return "start\tend\ttext\n" + "".join(rows)


def _texts(transcript: Transcript) -> Iterator[tuple[Segment, str]]:
    for segment in transcript.segments:
        if text := one_line(segment.text):
            yield segment, text


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
