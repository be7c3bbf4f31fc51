"""Counts how the cache is used, in memory, and writes it down for many uses at once."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from threading import Lock
from typing import Final

from stretto.contexts.caching.model import CacheEntry, CacheKey, CacheLevel, Use
from stretto.contexts.caching.ports import UseRecords
from stretto.contexts.core.identifiers import Timestamp

SECONDS_BETWEEN_WRITES: Final = 60.0
MOST_KEYS: Final = 2000
"""With so many entries used since the last write the next one is due, however soon it is."""

logger = logging.getLogger(__name__)


class UseLog:
    """A process that is killed forgets its last minute: the least recently used entry is then not
    quite the right one, and nothing else comes of it."""

    def __init__(self, records: UseRecords, *, now: Callable[[], Timestamp]) -> None:
        self._records = records
        self._now = now
        self._lock = Lock()
        self._begin()
        self._written_at_s = now().unix_s

    def hit(self, level: CacheLevel, entry: CacheEntry) -> None:
        with self._lock:
            self._used[entry.key] += 1
            self._counts[level, entry.origin.engine] += 1
            self._speech_s[level, entry.origin.engine] += entry.speech_s
        self._write_if_due()

    def miss(self, engine: str) -> None:
        with self._lock:
            self._counts[None, engine] += 1
        self._write_if_due()

    def flush(self) -> None:
        """Write down what there is. Trouble is logged, and what was counted is lost."""
        with self._lock:
            used, counts, speech_s = self._used, self._counts, self._speech_s
            self._begin()
            self._written_at_s = self._now().unix_s
        if not counts:
            return
        uses = [
            Use(level=where, engine=engine, count=count, speech_s=speech_s[where, engine])
            for (where, engine), count in counts.items()
        ]
        try:
            self._records.add(used, uses, at=self._now())
        except Exception as error:  # how something is used must never spoil its use
            logger.info("How the cache was used could not be written down. %s", error)

    def _begin(self) -> None:
        self._used: Counter[CacheKey] = Counter()
        self._counts: Counter[tuple[CacheLevel | None, str]] = Counter()
        self._speech_s: defaultdict[tuple[CacheLevel | None, str], float] = defaultdict(float)

    def _write_if_due(self) -> None:
        waited_s = abs(self._now().unix_s - self._written_at_s)
        if waited_s >= SECONDS_BETWEEN_WRITES or len(self._used) >= MOST_KEYS:
            self.flush()
