"""The nouns of caching: keys, levels, lifetimes, and what may be kept at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from stretto.contexts.core.errors import InvalidHash, InvalidOption
from stretto.contexts.core.identifiers import Sha256, Timestamp
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
class CacheEntry:
    """One encoded answer as a level holds it. ``expires_at`` None is never."""

    key: CacheKey
    value: bytes = field(repr=False)
    created_at: Timestamp
    expires_at: Timestamp | None = None

    def expired(self, now: Timestamp) -> bool:
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHitResult:
    """What a look into the cache gave: the answer and the level that had it, or neither."""

    key: CacheKey
    level: CacheLevel | None = None
    recognition: Recognition | None = None

    @property
    def hit(self) -> bool:
        return self.recognition is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How long each level keeps an entry, and what may be stored: whole answers only."""

    ttl: Mapping[CacheLevel, TTL] = field(default_factory=lambda: MappingProxyType({}))
    maximum_entry_bytes: int = 64 * 2**20

    def ttl_of(self, level: CacheLevel) -> TTL:
        return self.ttl.get(level, FOREVER)

    def may_keep(self, recognition: Recognition) -> bool:
        """Never an answer with a gap: the next attempt may fill it."""
        return not recognition.gaps
