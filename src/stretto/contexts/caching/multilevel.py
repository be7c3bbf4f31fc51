"""Looks for an answer in one level after the other, the fastest first, and keeps it in all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

from stretto.contexts.caching.addressing import ContentAddresser
from stretto.contexts.caching.model import CacheHitResult, CacheKey, CacheLevel, CachePolicy
from stretto.contexts.caching.ports import CacheStore, Codec
from stretto.contexts.core.events import CacheEntryCreated, DomainEvent
from stretto.contexts.core.identifiers import FileHash, Timestamp
from stretto.contexts.core.recognition import Recognition, RecognitionRequest

SECONDS_BETWEEN_COMPLAINTS: Final = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A level's name and what stands behind it."""

    level: CacheLevel
    store: CacheStore


class MultiLevelCache:
    """The cache as the rest of the program sees it. ``levels`` are given fastest first.

    It never raises: a level in trouble is a miss, and says so in the log once a minute.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        codec: Codec,
        now: Callable[[], Timestamp],
        publish: Callable[[DomainEvent], None],
        policy: CachePolicy | None = None,
        addresser: ContentAddresser | None = None,
    ) -> None:
        self._levels = tuple(levels)
        self._codec = codec
        self._now = now
        self._publish = publish
        self._policy = policy or CachePolicy()
        self._addresser = addresser or ContentAddresser()
        self._complaints = _Complaints(now)

    def find(self, request: RecognitionRequest) -> Recognition | None:
        """The answer that was kept for this very request, or None."""
        return self.look_up(request).recognition

    def look_up(self, request: RecognitionRequest) -> CacheHitResult:
        """As ``find``, and says which level answered. Faster levels have the answer afterwards."""
        key = self._addresser.key(request)
        for position, level in enumerate(self._levels):
            if (value := self._get(level, key)) is None:
                continue
            if (recognition := self._codec.decode(value)) is None:
                self._discard(level, key)
                continue
            for faster in self._levels[:position]:
                self._put(faster, key, value, request.source)
            return CacheHitResult(key=key, level=level.level, recognition=recognition)
        return CacheHitResult(key=key)

    def keep(self, request: RecognitionRequest, recognition: Recognition) -> None:
        """Store the answer in all levels, the lasting one first; refuses an answer with gaps."""
        if not self._policy.may_keep(recognition):
            return
        key = self._addresser.key(request)
        try:
            value = self._codec.encode(recognition)
        except Exception:
            logger.exception("An answer could not be encoded and is not kept: %s", key)
            return
        if len(value) > self._policy.maximum_entry_bytes:
            logger.warning("An answer of %d bytes is too large to keep: %s", len(value), key)
            return
        for level in reversed(self._levels):
            if self._put(level, key, value, request.source):
                self._announce(level.level, key)

    def _get(self, level: Level, key: CacheKey) -> bytes | None:
        try:
            return level.store.get(key)
        except Exception as error:  # whatever it is, the answer can be computed
            self._complaints.add(level.level, error)
            return None

    def _put(self, level: Level, key: CacheKey, value: bytes, source: FileHash | None) -> bool:
        try:
            level.store.put(key, value, ttl=self._policy.ttl_of(level.level), source=source)
        except Exception as error:
            self._complaints.add(level.level, error)
            return False
        return True

    def _discard(self, level: Level, key: CacheKey) -> None:
        logger.warning("Level %s had a damaged entry, it is deleted: %s", level.level, key)
        try:
            level.store.delete(key)
        except Exception as error:
            self._complaints.add(level.level, error)

    def _announce(self, level: CacheLevel, key: CacheKey) -> None:
        ttl_s = self._policy.ttl_of(level).seconds
        event = CacheEntryCreated(at=self._now(), cache_key=str(key), level=level, ttl_s=ttl_s)
        self._publish(event)


class _Complaints:
    """Writes trouble to the log, but not a thousand times: once per level and minute."""

    def __init__(self, now: Callable[[], Timestamp]) -> None:
        self._now = now
        self._last: dict[CacheLevel, Timestamp] = {}
        self._lock = Lock()

    def add(self, level: CacheLevel, error: Exception) -> None:
        now = self._now()
        with self._lock:
            last = self._last.get(level)
            if last and abs(now.unix_s - last.unix_s) < SECONDS_BETWEEN_COMPLAINTS:
                return
            self._last[level] = now
        logger.warning("Cache level %s is in trouble and is passed over: %s", level, error)
