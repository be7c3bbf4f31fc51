"""What a subtitle may look like: columns in a line, lines in a cue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stretto.contexts.core.errors import InvalidOption

MAXIMUM_LINE_WIDTH: Final = 1000
MAXIMUM_LINE_COUNT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleLayout:
    """How much text one cue may show; None lifts a limit.

    ``max_line_width`` is in columns, 1 to 1000: wide characters (Chinese, Japanese, Korean, emoji)
    take two. ``max_line_count`` is 1 to 100. The defaults, 42 columns and 2 lines, are those of
    the Netflix timed text style guide. Raises InvalidOption for anything else.
    """

    max_line_width: int | None = 42
    max_line_count: int | None = 2

    def __post_init__(self) -> None:
        _validate("line width", self.max_line_width, MAXIMUM_LINE_WIDTH)
        _validate("line count", self.max_line_count, MAXIMUM_LINE_COUNT)


def _validate(name: str, value: object, maximum: int) -> None:
    if value is None:
        return
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and 1 <= value <= maximum):  # type: ignore[operator]
        raise InvalidOption(
            f"The largest {name} of subtitles is a whole number from 1 to {maximum}, not {value!r}."
        )
