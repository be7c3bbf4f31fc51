"""The level in this process: the entries used last, in a bounded number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final

from stretto.contexts.caching.model import FOREVER, TTL, CacheEntry, CacheKey
from stretto.contexts.core.identifiers import FileHash, Timestamp

ENTRY_OVERHEAD_BYTES: Final = 500
"""What an entry costs besides its value: the key, the entry itself, a place in the table."""


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

    def get(self, key: CacheKey) -> bytes | None:
        now = self._now()
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.expired(now):
                self._remove(key)
                return None
            self._entries.move_to_end(key)
            return entry.value

    def put(
        self, key: CacheKey, value: bytes, *, ttl: TTL = FOREVER, source: FileHash | None = None
    ) -> None:
        now = self._now()
        entry = CacheEntry(key=key, value=value, created_at=now, expires_at=ttl.expires_at(now))
        with self._lock:
            self._remove(key)
            if _cost(entry) > self._maximum_bytes:
                return
            while self._size_bytes + _cost(entry) > self._maximum_bytes:
                self._remove(next(iter(self._entries)))
            self._entries[key] = entry
            self._size_bytes += _cost(entry)

    def delete(self, key: CacheKey) -> None:
        with self._lock:
            self._remove(key)

    def clear(self) -> None:
        """Forget everything: a transcript was deleted, and its answers with it."""
        with self._lock:
            self._entries.clear()
            self._size_bytes = 0

    def _remove(self, key: CacheKey) -> None:
        if entry := self._entries.pop(key, None):
            self._size_bytes -= _cost(entry)


def _cost(entry: CacheEntry) -> int:
    return len(entry.value) + ENTRY_OVERHEAD_BYTES
