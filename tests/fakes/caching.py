"""In-memory twins of what the cache keeps in the database, and entries for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

from stretto.contexts.caching.model import (
    CacheEntry,
    CacheKey,
    Invalidation,
    Origin,
    Selection,
    Use,
)
from stretto.contexts.core.identifiers import FileHash, Timestamp
from tests.fakes.examples import sha256_of


class MemoryInvalidationRecords:
    """Numbers invalidations from 1. ``trouble`` is raised while it is set."""

    def __init__(self) -> None:
        self.all: list[Invalidation] = []
        self.trouble: Exception | None = None
        self.looks = 0

    def newest(self) -> tuple[str, int]:
        self.looks += 1
        if self.trouble:
            raise self.trouble
        return "twin", len(self.all)

    def since(self, number: int) -> tuple[Invalidation, ...]:
        return tuple(self.all[number:])

    def add(self, selection: Selection, *, at: Timestamp) -> Invalidation:
        if self.trouble:
            raise self.trouble
        made = Invalidation(number=len(self.all) + 1, at=at, selection=selection)
        self.all.append(made)
        return made


class MemoryUseRecords:
    """Adds up; ``writes`` counts how often it had to."""

    def __init__(self) -> None:
        self.used: Counter[CacheKey] = Counter()
        self.uses: dict[tuple[Any, str], Use] = {}
        self.writes = 0

    def add(self, used: Mapping[CacheKey, int], uses: Sequence[Use], *, at: Timestamp) -> None:
        self.writes += 1
        self.used.update(used)
        for use in uses:
            before = self.uses.get((use.level, use.engine))
            count = use.count + (before.count if before else 0)
            speech_s = use.speech_s + (before.speech_s if before else 0.0)
            self.uses[use.level, use.engine] = Use(
                level=use.level, engine=use.engine, count=count, speech_s=speech_s
            )

    def totals(self) -> tuple[Use, ...]:
        return tuple(self.uses.values())


class MemoryLeases:
    """Leases that end by the clock they are given."""

    def __init__(self, now: Callable[[], Timestamp]) -> None:
        self._now = now
        self._held: dict[CacheKey, tuple[str, float]] = {}
        self._lock = Lock()
        self.taken = 0

    def take(self, key: CacheKey, holder: str, *, seconds: float) -> bool:
        now_s = self._now().unix_s
        with self._lock:
            owner, until_s = self._held.get(key, ("", 0.0))
            if owner not in {"", holder} and until_s > now_s:
                return False
            self._held[key] = (holder, now_s + seconds)
            self.taken += 1
            return True

    def release(self, key: CacheKey, holder: str) -> None:
        with self._lock:
            if self._held.get(key, ("", 0.0))[0] == holder:
                del self._held[key]


def a_key(name: str) -> CacheKey:
    return CacheKey(sha256_of(name))


def an_entry(
    name: str = "some key",
    value: bytes = b"value",
    *,
    created_at_s: float = 1_000_000.0,
    **more: Any,
) -> CacheEntry:
    """``source`` is the name of a file; ``expires_at_s``, ``epoch`` and ``speech_s`` are its
    own, what else is given is part of its origin."""
    source = more.pop("source", None)
    expires_at_s, epoch = more.pop("expires_at_s", None), more.pop("epoch", 0)
    speech_s = more.pop("speech_s", 0.0)
    origin = Origin(source=FileHash(sha256_of(source)) if source else None, **more)
    return CacheEntry(
        key=a_key(name),
        value=value,
        created_at=Timestamp(created_at_s),
        expires_at=None if expires_at_s is None else Timestamp(expires_at_s),
        epoch=epoch,
        speech_s=speech_s,
        origin=origin,
    )
