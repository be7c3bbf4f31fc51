"""The nouns of caching: keys, levels, lifetimes, and what may be kept at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from stretto.contexts.core.errors import InvalidHash, InvalidOption
from stretto.contexts.core.identifiers import FileHash, Sha256, Timestamp
from stretto.contexts.core.recognition import Recognition

_PREFIX: Final = "transcript:"


class CacheKey(Sha256):
    """SHA-256 over everything that an answer depends on; readable as ``transcript:{hash}``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> CacheKey:
        """The inverse of ``str``. Raises InvalidHash for anything else."""
        if not text.startswith(_PREFIX):
            raise InvalidHash(f"{text[:80]!r} is not a cache key; it has to start with {_PREFIX}")
        return cls(text.removeprefix(_PREFIX))

    def __str__(self) -> str:
        return _PREFIX + self.value


class CacheLevel(StrEnum):
    """From the fastest to the most lasting: this process, this cluster, this disk."""

    L1 = "L1"
    L2 = "L2"
    L3 = "L3"


@dataclass(frozen=True, slots=True)
class TTL:
    """How long an entry lives, in seconds above 0; None is for ever."""

    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds > 0:
            raise InvalidOption(f"A lifetime is longer than 0 seconds, not {self.seconds}.")

    def expires_at(self, start: Timestamp) -> Timestamp | None:
        return None if self.seconds is None else Timestamp(start.unix_s + self.seconds)


FOREVER: Final = TTL()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where answers came from: what they can be found by when they have to go, and counted by.

    ``source`` is the file whose sound gave it, ``tag`` the word that the program that kept it was
    told to mark its answers with, ``scope`` the tenant. An empty text means: not known.
    """

    source: FileHash | None = None
    engine: str = ""
    model: str = ""
    grain: str = ""
    scope: str = ""
    tag: str = ""


UNKNOWN: Final = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One encoded answer as a level holds it. ``expires_at`` None is never.

    ``epoch`` is how many invalidations there had been when its computation began: each later one
    that selects the entry makes it worthless, wherever it is held. ``speech_s`` are the seconds of
    speech that the answer is about.
    """

    key: CacheKey
    value: bytes = field(repr=False)
    created_at: Timestamp
    expires_at: Timestamp | None = None
    epoch: int = 0
    speech_s: float = 0.0
    origin: Origin = UNKNOWN

    def expired(self, now: Timestamp) -> bool:
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which answers are meant: those for which everything that is given here holds.

    ``before`` selects what was made before a moment. Without anything given it is all of them.
    An answer that does not know its engine or model counts as one of every engine and model.
    """

    source: FileHash | None = None
    engine: str = ""
    model: str = ""
    tag: str = ""
    before: Timestamp | None = None

    def selects(self, entry: CacheEntry) -> bool:
        origin = entry.origin
        return (
            (self.source is None or origin.source == self.source)
            and (not self.engine or origin.engine in {"", self.engine})
            and (not self.model or origin.model in {"", self.model})
            and (not self.tag or origin.tag == self.tag)
            and (self.before is None or entry.created_at < self.before)
        )

    def __str__(self) -> str:
        """Example: ``engine=whisper model=tiny.en``; ``all`` when nothing is given."""
        before = f"{self.before.unix_s:.3f}" if self.before else ""
        parts = {"file": self.source.value if self.source else "", "engine": self.engine}
        parts |= {"model": self.model, "tag": self.tag, "before": before}
        return " ".join(f"{name}={value}" for name, value in parts.items() if value) or "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidation:
    """Somebody declared answers worthless; ``number`` counts these declarations from 1."""

    number: int
    at: Timestamp
    selection: Selection

    def strikes(self, entry: CacheEntry) -> bool:
        """Whether the entry is one of those, and its computation began before."""
        return entry.epoch < self.number and self.selection.selects(entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHitResult:
    """What a look into the cache gave: the answer and the level that had it, or neither.

    ``age_s`` is how long ago the answer was made.
    """

    key: CacheKey
    level: CacheLevel | None = None
    age_s: float | None = None
    recognition: Recognition | None = None

    @property
    def hit(self) -> bool:
        return self.recognition is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How long and how much each level keeps, and what may be stored: whole answers only.

    What is over the bytes of a level is removed, the least recently used first; a level that is
    not in ``maximum_bytes`` has no limit of ours.
    """

    ttl: Mapping[CacheLevel, TTL] = field(default_factory=lambda: MappingProxyType({}))
    maximum_bytes: Mapping[CacheLevel, int] = field(default_factory=lambda: MappingProxyType({}))
    maximum_entry_bytes: int = 64 * 2**20

    def ttl_of(self, level: CacheLevel) -> TTL:
        return self.ttl.get(level, FOREVER)

    def may_keep(self, recognition: Recognition) -> bool:
        """Never an answer with a gap: the next attempt may fill it."""
        return not recognition.gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelStatus:
    """How a level is doing; ``entries`` and ``size_bytes`` are None where they are not known."""

    level: CacheLevel
    working: bool
    place: str
    entries: int | None = None
    size_bytes: int | None = None
    speech_s: float | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How often an answer of ``engine`` was looked for and what that gave.

    ``level`` is the one that had it; None stands for those that nobody had. ``speech_s`` are the
    seconds of speech that did not have to be recognised again.
    """

    level: CacheLevel | None
    engine: str
    count: int
    speech_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedEntry:
    """An entry of the lasting level without its value, and how often it was used."""

    key: CacheKey
    size_bytes: int
    hits: int
    created_at: Timestamp
    last_used_at: Timestamp
    speech_s: float
    origin: Origin
