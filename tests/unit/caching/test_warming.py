"""Warming loads what is used most first, and ends when the budget does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stretto.contexts.caching.adapters.memory import MemoryCacheStore
from stretto.contexts.caching.levels import Level
from stretto.contexts.caching.model import (
    TTL,
    CacheKey,
    CacheLevel,
    CachePolicy,
    RankedEntry,
    Selection,
)
from stretto.contexts.caching.warming import CacheWarmer, WarmingBudget, WarmingEnd
from stretto.contexts.core.errors import InvalidOption
from tests.caches import CacheHouse
from tests.fakes.caching import a_key, an_entry
from tests.unit.caching.test_multilevel import BrokenStore


class Ranking:
    """Says that the entries are used as often as they stand in front."""

    def __init__(self, house: CacheHouse, names: str) -> None:
        self.ranked_entries = [
            RankedEntry(
                key=a_key(name),
                size_bytes=1000,
                hits=len(names) - place,
                created_at=house.clock(),
                last_used_at=house.clock(),
                speech_s=1.0,
                origin=an_entry().origin,
            )
            for place, name in enumerate(names)
        ]

    def most_used(self, limit: int) -> Sequence[RankedEntry]:
        return self.ranked_entries[:limit]

    def ranked(self, key: CacheKey) -> RankedEntry | None:
        return next((one for one in self.ranked_entries if one.key == key), None)


class Warm:
    def __init__(self, *, seconds_an_entry: float = 0.0, broken: bool = False) -> None:
        self.house = CacheHouse()
        for name in "abcde":
            self.house.slow.put(an_entry(name, bytes(1000)))
        self.time_s = 0.0
        self.seconds_an_entry = seconds_an_entry
        self.memory = MemoryCacheStore(10**6, now=self.house.clock)
        faster = [Level(level=CacheLevel.L1, store=self.memory)]
        if broken:
            faster.append(Level(level=CacheLevel.L2, store=BrokenStore()))
        self.warmer = CacheWarmer(
            lasting=Ranking(self.house, "cabed"),
            store=self.house.slow,
            faster=faster,
            log=self.house.log,
            policy=CachePolicy(ttl={CacheLevel.L1: TTL(60.0)}),
            now=self.house.clock,
            monotonic_s=self.monotonic_s,
        )

    def monotonic_s(self) -> float:
        self.time_s += self.seconds_an_entry
        return self.time_s

    def warmed(self) -> str:
        return "".join(name for name in "abcde" if self.memory.get(a_key(name)))


def test_everything_is_loaded_when_the_budget_allows_it() -> None:
    warm = Warm()
    result = warm.warmer.warm(WarmingBudget(seconds=5, maximum_bytes=10**6))
    assert (result.entries, result.size_bytes, result.end) == (5, 5000, WarmingEnd.ALL)
    assert warm.warmed() == "abcde"


def test_bytes_that_are_used_up_end_it_after_the_most_used() -> None:
    warm = Warm()
    result = warm.warmer.warm(WarmingBudget(seconds=5, maximum_bytes=2500))
    assert (warm.warmed(), result.end) == ("ac", WarmingEnd.BYTES)


def test_time_that_is_up_ends_it() -> None:
    warm = Warm(seconds_an_entry=1.0)
    result = warm.warmer.warm(WarmingBudget(seconds=3, maximum_bytes=10**6))
    assert (warm.warmed(), result.end) == ("ac", WarmingEnd.TIME)


def test_what_was_loaded_lives_as_long_as_its_level_says() -> None:
    warm = Warm()
    warm.warmer.warm(WarmingBudget(seconds=5, maximum_bytes=10**6))
    warm.house.clock.advance(60)
    assert warm.warmed() == ""


def test_what_was_invalidated_is_not_loaded() -> None:
    warm = Warm()
    warm.house.records.add(Selection(), at=warm.house.clock())
    assert warm.warmer.warm(WarmingBudget(seconds=5, maximum_bytes=10**6)).entries == 0


def test_a_level_in_trouble_is_left_out() -> None:
    warm = Warm(broken=True)
    assert warm.warmer.warm(WarmingBudget(seconds=5, maximum_bytes=10**6)).entries == 5
    assert warm.warmed() == "abcde"


@pytest.mark.parametrize(("seconds", "maximum_bytes"), [(0, 1), (1, 0), (-1, 5)])
def test_a_budget_of_nothing_is_refused(seconds: float, maximum_bytes: int) -> None:
    with pytest.raises(InvalidOption):
        WarmingBudget(seconds=seconds, maximum_bytes=maximum_bytes)
