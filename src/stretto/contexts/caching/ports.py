"""What caching needs from outside: places for entries, and what many processes agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from stretto.contexts.caching.model import (
    CacheEntry,
    CacheKey,
    Invalidation,
    LevelStatus,
    RankedEntry,
    Selection,
    Use,
)
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.core.recognition import Recognition


class CacheStore(Protocol):
    """One level. Safe to call from many threads; may raise anything: it then counts as a miss."""

    def get(self, key: CacheKey) -> CacheEntry | None:
        """What was put last under ``key``, unless it is expired, deleted, evicted or damaged."""

    def put(self, entry: CacheEntry) -> None:
        """Replaces what was there. A lasting level has it on the disk when this returns."""

    def delete(self, key: CacheKey) -> None:
        """Harmless for a key that is not there."""

    def delete_struck(self, invalidation: Invalidation) -> int:
        """Delete every entry that the invalidation strikes. Returns how many."""


class Examinable(Protocol):
    """A level that can say how it is doing."""

    def status(self) -> LevelStatus:
        """Never raises: trouble is a part of the answer."""


class RankedStore(Protocol):
    """The lasting level, which knows what is used most."""

    def most_used(self, limit: int) -> Sequence[RankedEntry]:
        """The entries with the most hits first, those used last before others."""

    def ranked(self, key: CacheKey) -> RankedEntry | None: ...


class UseRecords(Protocol):
    """Keeps how the cache was used, beyond the process."""

    def add(self, used: Mapping[CacheKey, int], uses: Sequence[Use], *, at: Timestamp) -> None:
        """Count the hits of the keys and add ``uses`` to those of before, in one write."""

    def totals(self) -> tuple[Use, ...]:
        """Everything that was added, for each level and engine."""


class InvalidationRecords(Protocol):
    """The numbered list of invalidations that all processes share."""

    def newest(self) -> tuple[str, int]:
        """The identity of the list, and the number of its newest invalidation; 0 before any."""

    def since(self, number: int) -> tuple[Invalidation, ...]:
        """Those after ``number`` that are still remembered, in their order."""

    def add(self, selection: Selection, *, at: Timestamp) -> Invalidation:
        """Durable when it returns, with a number above that of every earlier one."""


class Leases(Protocol):
    """The right to compute an answer, held by one at a time for a limited time."""

    def take(self, key: CacheKey, holder: str, *, seconds: float) -> bool:
        """Take the lease or prolong one's own; False while somebody else holds it."""

    def release(self, key: CacheKey, holder: str) -> None:
        """Harmless when somebody else has it by now."""


class Cancel(Protocol):
    """Tells whoever waits that nobody wants the answer any more."""

    def raise_if_cancelled(self) -> None: ...

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake up for a cancel; returns whether it came."""


class Observer(Protocol):
    """Hears how the cache does. Must be quick and must not raise."""

    def looked_up(self, level: str, size_bytes: int, speech_s: float) -> None:
        """``level`` had the answer; empty when none had it."""

    def troubled(self, level: str) -> None:
        """A call to the level came to nothing."""


class Unobserved:
    """Nobody wants to know."""

    def looked_up(self, level: str, size_bytes: int, speech_s: float) -> None:
        pass

    def troubled(self, level: str) -> None:
        pass


class Codec(Protocol):
    """Makes bytes of answers and answers of bytes."""

    def encode(self, recognition: Recognition) -> bytes: ...

    def decode(self, data: bytes) -> Recognition | None:
        """None for bytes that are damaged, foreign or of another schema. Never raises."""
