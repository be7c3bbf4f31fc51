"""Brings what is used most from the lasting level into the faster ones, within a budget."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from stretto.contexts.caching.invalidation import InvalidationLog
from stretto.contexts.caching.levels import Level
from stretto.contexts.caching.model import CachePolicy
from stretto.contexts.caching.ports import CacheStore, RankedStore
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp

MOST_ENTRIES: Final = 100_000
SMALLEST_BYTES: Final = 100
"""No entry is smaller: more of them than fit into the budget are not even asked for."""

logger = logging.getLogger(__name__)


class WarmingEnd(StrEnum):
    """Why warming ended."""

    ALL = "everything is loaded"
    TIME = "the time was up"
    BYTES = "the bytes were used up"


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmingBudget:
    """What warming may cost. Raises InvalidOption unless both are above 0."""

    seconds: float
    maximum_bytes: int

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.maximum_bytes > 0):
            raise InvalidOption("Warming needs more than 0 seconds and more than 0 bytes.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmingResult:
    entries: int
    size_bytes: int
    seconds: float
    end: WarmingEnd


class CacheWarmer:
    """``lasting`` knows what is used most and ``store`` has it; ``faster`` levels get it."""

    def __init__(
        self,
        *,
        lasting: RankedStore,
        store: CacheStore,
        faster: Sequence[Level],
        log: InvalidationLog,
        policy: CachePolicy,
        now: Callable[[], Timestamp],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lasting = lasting
        self._store = store
        self._faster = tuple(faster)
        self._log = log
        self._policy = policy
        self._now = now
        self._monotonic_s = monotonic_s

    def warm(self, budget: WarmingBudget) -> WarmingResult:
        """Load the most used entries first. Raises what the lasting level raises; a faster level
        that is in trouble is left out."""
        began_s = self._monotonic_s()
        self._log.refresh(at_once=True)
        entries = size_bytes = 0
        levels, end = list(self._faster), WarmingEnd.ALL
        for ranked in self._lasting.most_used(_limit(budget)):
            if self._monotonic_s() - began_s >= budget.seconds:
                end = WarmingEnd.TIME
                break
            if size_bytes + ranked.size_bytes > budget.maximum_bytes:
                end = WarmingEnd.BYTES
                break
            entry = self._store.get(ranked.key)
            if entry is None or self._log.strikes(entry):
                continue
            for level in tuple(levels):
                expires_at = self._policy.ttl_of(level.level).expires_at(self._now())
                try:
                    level.store.put(replace(entry, expires_at=expires_at))
                except Exception as error:
                    logger.warning("Level %s is not warmed. %s", level.level, error)
                    levels.remove(level)
            if not levels:
                break
            entries += 1
            size_bytes += ranked.size_bytes
        seconds = self._monotonic_s() - began_s
        return WarmingResult(entries=entries, size_bytes=size_bytes, seconds=seconds, end=end)


def _limit(budget: WarmingBudget) -> int:
    return min(MOST_ENTRIES, 1 + budget.maximum_bytes // SMALLEST_BYTES)
