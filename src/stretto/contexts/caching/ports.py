"""What caching needs from outside: a place for bytes, and a way to make bytes of an answer."""

from __future__ import annotations

from typing import Protocol

from stretto.contexts.caching.model import FOREVER, TTL, CacheKey
from stretto.contexts.core.identifiers import FileHash
from stretto.contexts.core.recognition import Recognition


class CacheStore(Protocol):
    """One level. Safe to call from many threads; may raise anything: it then counts as a miss."""

    def get(self, key: CacheKey) -> bytes | None:
        """What was put last under ``key``, unless it is expired, deleted or evicted."""

    def put(
        self, key: CacheKey, value: bytes, *, ttl: TTL = FOREVER, source: FileHash | None = None
    ) -> None:
        """Replaces what was there. A lasting level has it on the disk when this returns, and
        remembers the file that it came from."""

    def delete(self, key: CacheKey) -> None:
        """Harmless for a key that is not there."""


class Codec(Protocol):
    """Makes bytes of answers and answers of bytes."""

    def encode(self, recognition: Recognition) -> bytes: ...

    def decode(self, data: bytes) -> Recognition | None:
        """None for bytes that are damaged, foreign or of another schema. Never raises."""
