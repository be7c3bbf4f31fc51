"""What an operator sees of the cache and does with it: statistics, entries, warming, deleting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.caching.invalidation import (
    CacheInvalidator,
    InvalidationLog,
    InvalidationResult,
)
from stretto.contexts.caching.levels import Level
from stretto.contexts.caching.model import (
    CacheEntry,
    CacheKey,
    CacheLevel,
    LevelStatus,
    RankedEntry,
    Selection,
    Use,
)
from stretto.contexts.caching.ports import Codec, Examinable, RankedStore, UseRecords
from stretto.contexts.caching.warming import CacheWarmer, WarmingBudget, WarmingResult
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.recognition import Recognition

MOST_SHOWN: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelStatistics:
    """A level, how often it was asked, and how often it had the answer."""

    status: LevelStatus
    asked: int
    hits: int

    @property
    def hit_rate(self) -> float | None:
        """In [0, 1]; None while it was never asked."""
        return self.hits / self.asked if self.asked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    """Over all processes since the database was made. ``saved_s`` are seconds of speech that did
    not have to be recognised again, by engine; multiplied by its price they are money."""

    levels: tuple[LevelStatistics, ...]
    lookups: int
    hits: int
    saved_s: dict[str, float]
    most_used: tuple[RankedEntry, ...]

    @property
    def hit_rate(self) -> float | None:
        return self.hits / self.lookups if self.lookups else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEntry:
    """One entry: the levels that have it, what is known of it, and the answer if it is sound."""

    key: CacheKey
    levels: tuple[CacheLevel, ...]
    entry: CacheEntry
    ranked: RankedEntry | None
    recognition: Recognition | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheManagement:
    """Levels fastest first; ``examinable`` are the same ones, as far as they can be examined.

    ``flush`` writes down how this process used the cache, so that it is counted too.
    """

    levels: Sequence[Level]
    examinable: Sequence[Examinable]
    lasting: RankedStore
    codec: Codec
    uses: UseRecords
    log: InvalidationLog
    invalidator: CacheInvalidator
    warmer: CacheWarmer
    flush: Callable[[], None]
    close: Callable[[], None] = field(default=lambda: None)

    def status(self) -> tuple[LevelStatus, ...]:
        """How each level is doing. Never raises."""
        return tuple(level.status() for level in self.examinable)

    def statistics(self, *, most_used: int = 10) -> CacheStatistics:
        """Raises InvalidOption for more than a thousand entries."""
        if not 0 <= most_used <= MOST_SHOWN:
            raise InvalidOption(f"0 to {MOST_SHOWN} entries can be shown, not {most_used}.")
        self.flush()
        uses = self.uses.totals()
        lookups = asked = sum(use.count for use in uses)
        levels = []
        for status in self.status():
            hits = sum(use.count for use in uses if use.level is status.level)
            levels.append(LevelStatistics(status=status, asked=asked, hits=hits))
            asked -= hits
        return CacheStatistics(
            levels=tuple(levels),
            lookups=lookups,
            hits=sum(use.count for use in uses if use.level is not None),
            saved_s=_saved_s(uses),
            most_used=tuple(self.lasting.most_used(most_used)) if most_used else (),
        )

    def show(self, key: CacheKey) -> ShownEntry:
        """What the cache has under ``key``. Raises InvalidOption when no level has anything."""
        self.log.refresh(at_once=True)
        having: list[CacheLevel] = []
        found: CacheEntry | None = None
        for level in self.levels:
            try:
                entry = level.store.get(key)
            except Exception:  # noqa: S112 - how a level is doing is for the statistics to say
                continue
            if entry is not None and not self.log.strikes(entry):
                having.append(level.level)
                found = found or entry
        if found is None:
            raise InvalidOption(f"The cache has no {key}. See what it has: stretto cache stats")
        return ShownEntry(
            key=key,
            levels=tuple(having),
            entry=found,
            ranked=self.lasting.ranked(key),
            recognition=self.codec.decode(found.value),
        )

    def warm(self, budget: WarmingBudget) -> WarmingResult:
        """Load the most used entries into the faster levels."""
        self.status()  # a level that was never used is reached by this, and waited for
        return self.warmer.warm(budget)

    def invalidate(self, selection: Selection) -> InvalidationResult:
        """No process serves what is selected any more, and it is deleted from every level."""
        return self.invalidator.invalidate(selection)


def _saved_s(uses: Sequence[Use]) -> dict[str, float]:
    saved: dict[str, float] = {}
    for use in uses:
        if use.level is not None:
            saved[use.engine] = saved.get(use.engine, 0.0) + use.speech_s
    return saved
