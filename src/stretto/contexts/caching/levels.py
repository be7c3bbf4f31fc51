"""A level as the services of caching use it: its name, its store, and trouble that is a miss."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from stretto.contexts.caching.model import CacheEntry, CacheKey, CacheLevel
from stretto.contexts.caching.ports import CacheStore, Observer, Unobserved
from stretto.contexts.core.identifiers import Timestamp

SECONDS_BETWEEN_COMPLAINTS: Final = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A level's name and what stands behind it."""

    level: CacheLevel
    store: CacheStore


class Complaints:
    """Writes trouble to the log, but not a thousand times: once per level and minute."""

    def __init__(self, now: Callable[[], Timestamp]) -> None:
        self._now = now
        self._last: dict[str, Timestamp] = {}
        self._lock = Lock()

    def add(self, what: str, error: Exception) -> None:
        now = self._now()
        with self._lock:
            last = self._last.get(what)
            if last and abs(now.unix_s - last.unix_s) < SECONDS_BETWEEN_COMPLAINTS:
                return
            self._last[what] = now
        logger.warning("%s is in trouble and is passed over: %s", what, error)


class QuietLevel:
    """A level that never raises: whatever goes wrong in it is a miss, and a line in the log."""

    def __init__(
        self, level: Level, complaints: Complaints, observer: Observer | None = None
    ) -> None:
        self.level = level.level
        self._store = level.store
        self._complaints = complaints
        self._observer = observer or Unobserved()

    def get(self, key: CacheKey) -> CacheEntry | None:
        try:
            return self._store.get(key)
        except Exception as error:  # whatever it is, the answer can be computed
            self._complain(error)
            return None

    def put(self, entry: CacheEntry) -> bool:
        """Whether the level has it now."""
        try:
            self._store.put(entry)
        except Exception as error:
            self._complain(error)
            return False
        return True

    def delete(self, key: CacheKey) -> None:
        try:
            self._store.delete(key)
        except Exception as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        self._observer.troubled(self.level)
        self._complaints.add(f"Cache level {self.level}", error)
