"""Writes SubRip (srt) and WebVTT (vtt), so that N cues are read back as exactly N."""

from __future__ import annotations

import re
from typing import Final

from stretto.contexts.core.transcript import Transcript
from stretto.interfaces.formats.cues import cues_from
from stretto.interfaces.formats.layout import SubtitleLayout

_ARROW: Final = re.compile(r"-{2,}>")
"""Stands between the times of a cue; SubRip has no way to escape it in a text."""

_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def srt(transcript: Transcript, layout: SubtitleLayout) -> str:
    """SubRip: numbered cues. An arrow in the text becomes ``->``."""
    return "".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        + "".join(_ARROW.sub("->", line) + "\n" for line in cue.lines)
        + "\n"
        for number, cue in enumerate(cues_from(transcript, layout=layout), 1)
    )


def vtt(transcript: Transcript, layout: SubtitleLayout) -> str:
    """WebVTT (W3C): cues without names; ``&``, ``<`` and ``>`` are escaped."""
    return "WEBVTT\n" + "".join(
        f"\n{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n"
        + "".join(line.translate(_ESCAPES) + "\n" for line in cue.lines)
        for cue in cues_from(transcript, layout=layout)
    )


def _clock(milliseconds: int, separator: str) -> str:
    """``HH:MM:SS,mmm``; hours take a third digit from 100 on."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{rest:03}"
