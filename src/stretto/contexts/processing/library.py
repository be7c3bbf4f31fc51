"""The nouns of what was kept: how transcripts are listed, page by page, and what a search finds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import FileHash, Language, Timestamp, TranscriptId
from stretto.contexts.core.transcript import TranscriptStatus

MOST_PER_PAGE: Final = 1000
_CURSOR: Final = re.compile(
    r"(-?[0-9]{1,12}(?:\.[0-9]{1,9})?(?:e[+-]?[0-9]{1,2})?):([0-9]{1,18})\Z"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptSummary:
    """A transcript without its text; ``version`` counts its owner's of this file from 1. ``owner``
    is whose it is, empty on a machine that has one user."""

    id: TranscriptId
    file: str
    file_hash: FileHash
    version: int
    language: Language | None
    status: TranscriptStatus
    duration_s: float
    engine: str
    model: str
    created_at: Timestamp
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of a transcript in the list, from where the next page goes on."""

    created_at_s: float
    number: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The inverse of ``str``. Raises InvalidOption."""
        found = _CURSOR.match(text)
        if not found:
            raise InvalidOption(
                f"{text[:64]!r} is not the end of a page; take it from the page before."
            )
        return cls(float(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.created_at_s!r}:{self.number}"


BEGINNING: Final = Cursor(1e300, 2**62)
"""Before the newest transcript."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which transcripts to list: at most ``limit`` (1 to 1000) that fit every given field.

    Raises InvalidOption for a limit out of range.
    """

    limit: int = 20
    after: Cursor = BEGINNING
    language: Language | None = None
    status: TranscriptStatus | None = None
    file_hash: FileHash | None = None
    owner: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MOST_PER_PAGE:
            raise InvalidOption(f"A page has 1 to {MOST_PER_PAGE} rows, not {self.limit}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Transcripts, the newest first; ``next`` is where the following page starts, if any."""

    rows: tuple[TranscriptSummary, ...]
    next: Cursor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A segment with all the words that were searched for.

    ``start`` and ``end`` are its times and ``at`` that of the first word found, in seconds;
    ``text`` is the passage around it and ``marks`` where the words stand in it, as half-open
    ranges of characters. A higher ``score`` is a better hit; only the order means something.
    """

    transcript_id: TranscriptId
    file: str
    version: int
    language: Language | None
    created_at: Timestamp
    start: float
    end: float
    at: float
    text: str
    marks: tuple[tuple[int, int], ...]
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFile:
    """A recording of which a transcript was kept, under the name it had last."""

    file_hash: FileHash
    name: str
    duration_s: float
    size_bytes: int | None
    container: str
    codec: str
    bitrate_bps: int | None
    first_seen_at: Timestamp
    last_seen_at: Timestamp
