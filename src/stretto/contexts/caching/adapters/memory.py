"""The level in this process: the entries used last, in a bounded number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final

from stretto.contexts.caching.model import (
    CacheEntry,
    CacheKey,
    CacheLevel,
    Invalidation,
    LevelStatus,
)
from stretto.contexts.core.identifiers import Timestamp

ENTRY_OVERHEAD_BYTES: Final = 1200
"""What an entry costs besides its value: key, entry, origin, moments, a place in the table."""


class MemoryCacheStore:
    """Least recently used entries go first. An entry larger than the whole store is not kept."""

    def __init__(self, maximum_bytes: int, *, now: Callable[[], Timestamp]) -> None:
        self._maximum_bytes = maximum_bytes
        self._now = now
        self._entries: OrderedDict[CacheKey, CacheEntry] = OrderedDict()
        self._size_bytes = 0
        self._lock = Lock()

    @property
    def size_bytes(self) -> int:
        """Never above the maximum."""
        return self._size_bytes

    def get(self, key: CacheKey) -> CacheEntry | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry.expires_at is not None and entry.expired(self._now()):
                self._remove(key)
                return None
            self._entries.move_to_end(key)
            return entry

    def put(self, entry: CacheEntry) -> None:
        cost = _cost(entry)
        with self._lock:
            self._remove(entry.key)
            if cost > self._maximum_bytes:
                return
            while self._size_bytes + cost > self._maximum_bytes:
                self._remove(next(iter(self._entries)))
            self._entries[entry.key] = entry
            self._size_bytes += cost

    def delete(self, key: CacheKey) -> None:
        with self._lock:
            self._remove(key)

    def delete_struck(self, invalidation: Invalidation) -> int:
        with self._lock:
            struck = [e.key for e in self._entries.values() if invalidation.strikes(e)]
            for key in struck:
                self._remove(key)
        return len(struck)

    def status(self) -> LevelStatus:
        with self._lock:
            speech_s = sum(entry.speech_s for entry in self._entries.values())
            return LevelStatus(
                level=CacheLevel.L1,
                working=True,
                place=f"memory of this process, at most {self._maximum_bytes / 1e6:g} MB",
                entries=len(self._entries),
                size_bytes=self._size_bytes,
                speech_s=speech_s,
            )

    def _remove(self, key: CacheKey) -> None:
        if entry := self._entries.pop(key, None):
            self._size_bytes -= _cost(entry)


def _cost(entry: CacheEntry) -> int:
    return len(entry.value) + ENTRY_OVERHEAD_BYTES
