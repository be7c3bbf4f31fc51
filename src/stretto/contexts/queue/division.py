"""A long file divided into parts: what its job knows of them, and what a part knows of itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

ALMOST: Final = 0.99
"""As far as a job is at most whose parts are not put together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One chunk of a file, ``number`` of them from 0, with its place in seconds of the file.

    ``plan`` says how the file is cut, in the words of those who cut it.
    """

    number: int
    start_s: float
    end_s: float
    plan: str

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPart:
    """A part that was given up, or cancelled by somebody: it becomes a gap."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """``open`` of ``parts`` parts are not over; ``chunks`` counts those that were known, too."""

    plan: str
    parts: int
    open: int
    chunks: int
    total_s: float
    missing: tuple[MissingPart, ...] = ()

    def one_less(self, missing: MissingPart | None) -> Division:
        """A part is over; ``missing`` when nothing came of it."""
        gone = (*self.missing, missing) if missing else self.missing
        return replace(self, open=self.open - 1, missing=gone)

    def one_more(self, number: int) -> Division:
        """A part is tried again."""
        rest = tuple(one for one in self.missing if one.number != number)
        return replace(self, open=self.open + 1, missing=rest)
