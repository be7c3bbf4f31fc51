"""The nouns of watching: statements that were seen, and what was learned from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSite:
    """The line outside the libraries that caused a statement."""

    module: str
    function: str
    line: int

    @property
    def key(self) -> str:
        """The name under which things are remembered: it survives edits that move lines."""
        return f"{self.module}:{self.function}"

    def __str__(self) -> str:
        return f"{self.module}:{self.function}, line {self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedStatement:
    """A statement that was run. ``unit`` names the unit of work; ``rows`` is None if unknown.

    ``arguments`` is a number that differs when the values differ; the values are not kept.
    ``by_relationship`` is True when an object asked for what belongs to it.
    """

    unit: int
    statement: str
    shape: str
    arguments: int
    duration_ms: float
    rows: int | None
    site: CallSite
    by_relationship: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowStatement:
    """All slow runs of one shape of statement; times in milliseconds, ``last_seen`` Unix."""

    shape: str
    statement: str
    site: str
    count: int
    total_ms: float
    worst_ms: float
    rows: int | None
    last_seen_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LazyLoad:
    """One relationship of one object was loaded by a statement of its own.

    ``path`` leads from the class that was queried, as ``Transcript.segments.words``; ``site`` is
    where that query was made.
    """

    unit: int
    site: CallSite
    path: str


class LoadingState(StrEnum):
    """Whether a relationship is loaded along with its parents because that was found to help
    (learned), because somebody wants it so (pinned), or not, because somebody wants that (off)."""

    LEARNED = "learned"
    PINNED = "pinned"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedLoading:
    """At ``site``, the relationship ``path`` is asked for again and again.

    ``most_statements`` is the largest number of statements that one unit of work spent on it.
    """

    site: str
    path: str
    line: int
    state: LoadingState
    most_statements: int
    last_seen_s: float

    @property
    def id(self) -> str:
        return f"{self.site}/{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedStatement:
    """The same statement was run for each row of an earlier result, not by a relationship."""

    site: str
    line: int
    shape: str
    most_statements: int
    last_seen_s: float
