"""The table of output formats: a new one is one function and one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.transcript import Segment, Transcript
from stretto.interfaces.formats import plain, structured, subtitles
from stretto.interfaces.formats.cleaning import well_formed
from stretto.interfaces.formats.layout import SubtitleLayout

_DEFAULT_LAYOUT: Final = SubtitleLayout()


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A form a transcript can be written in; ``suffix`` ends the file's name, dot included.

    With ``line`` it is no more than the lines of its segments, and can be written as they come.
    """

    name: str
    suffix: str
    media_type: str
    write: Callable[[Transcript, SubtitleLayout], str]
    line: Callable[[Segment], str] | None = None

    def render(self, transcript: Transcript, *, layout: SubtitleLayout = _DEFAULT_LAYOUT) -> str:
        """The whole document, which UTF-8 can carry; lines end in LF. ``layout`` is for cues."""
        return well_formed(self.write(transcript, layout))


_ROWS: Final = (
    Format(
        name="txt", suffix=".txt", media_type="text/plain", write=plain.txt, line=plain.txt_line
    ),
    Format(
        name="timed",
        suffix=".timed.txt",
        media_type="text/plain",
        write=plain.timed,
        line=plain.timed_line,
    ),
    Format(name="srt", suffix=".srt", media_type="application/x-subrip", write=subtitles.srt),
    Format(name="vtt", suffix=".vtt", media_type="text/vtt", write=subtitles.vtt),
    Format(name="json", suffix=".json", media_type="application/json", write=structured.json),
    Format(
        name="verbose_json",
        suffix=".verbose.json",
        media_type="application/json",
        write=structured.verbose_json,
    ),
    Format(name="tsv", suffix=".tsv", media_type="text/tab-separated-values", write=plain.tsv),
)

FORMATS: Final[Mapping[str, Format]] = MappingProxyType({row.name: row for row in _ROWS})
"""By name, in the order in which they are offered."""


def format_named(name: str) -> Format:
    """Raises InvalidOption, which lists the names there are."""
    found = FORMATS.get(name)
    if found is None:
        known = ", ".join(FORMATS)
        raise InvalidOption(f"There is no output format {name[:32]!r}. Use one of: {known}.")
    return found


def render(transcript: Transcript, *, name: str, layout: SubtitleLayout = _DEFAULT_LAYOUT) -> str:
    """The transcript in the format of that name. Raises InvalidOption for an unknown name."""
    return format_named(name).render(transcript, layout=layout)
