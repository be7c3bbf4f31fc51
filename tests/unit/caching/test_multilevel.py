"""Levels are asked in order, heal each other, and never stand in the way."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stretto.contexts.caching.adapters import codec
from stretto.contexts.caching.adapters.memory import ENTRY_OVERHEAD_BYTES, MemoryCacheStore
from stretto.contexts.caching.adapters.sql import SECONDS_BETWEEN_TOUCHES, SqlCacheStore
from stretto.contexts.caching.addressing import ContentAddresser
from stretto.contexts.caching.model import (
    FOREVER,
    TTL,
    CacheKey,
    CacheLevel,
    CachePolicy,
)
from stretto.contexts.caching.multilevel import Level, MultiLevelCache
from stretto.contexts.caching.ports import CacheStore
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.events import CacheEntryCreated, DomainEvent
from stretto.contexts.core.identifiers import FileHash
from tests.fakes.clock import FakeClock
from tests.fakes.examples import A_GAP, a_recognition, a_recognition_request, sha256_of
from tests.servers import Database, opened

REQUEST, ANSWER = a_recognition_request(), a_recognition()
KEY = ContentAddresser().key(REQUEST)


class BrokenStore:
    """Fails on everything, as a store does whose server is gone."""

    def get(self, key: CacheKey) -> bytes | None:
        raise ConnectionError("no server")

    def put(
        self, key: CacheKey, value: bytes, *, ttl: TTL = FOREVER, source: FileHash | None = None
    ) -> None:
        raise ConnectionError("no server")

    def delete(self, key: CacheKey) -> None:
        raise ConnectionError("no server")


class House:
    """A cache over two levels, and everything that can be seen of it."""

    def __init__(
        self, fast: CacheStore | None = None, *, policy: CachePolicy | None = None
    ) -> None:
        self.clock = FakeClock()
        self.fast = fast or MemoryCacheStore(10**6, now=self.clock)
        self.slow = MemoryCacheStore(10**6, now=self.clock)
        self.events: list[DomainEvent] = []
        self.cache = MultiLevelCache(
            [
                Level(level=CacheLevel.L1, store=self.fast),
                Level(level=CacheLevel.L3, store=self.slow),
            ],
            codec=codec,
            now=self.clock,
            publish=self.events.append,
            policy=policy,
        )


def test_an_answer_is_kept_in_all_levels_and_each_is_announced() -> None:
    house = House()
    house.cache.keep(REQUEST, ANSWER)
    assert house.fast.get(KEY) == house.slow.get(KEY) == codec.encode(ANSWER)
    made = [e for e in house.events if isinstance(e, CacheEntryCreated)]
    assert {(e.cache_key, e.level) for e in made} == {(str(KEY), "L1"), (str(KEY), "L3")}


def test_the_fastest_level_that_has_the_answer_gives_it() -> None:
    house = House()
    house.cache.keep(REQUEST, ANSWER)
    result = house.cache.look_up(REQUEST)
    assert (result.hit, result.level, result.recognition) == (True, CacheLevel.L1, ANSWER)


def test_an_answer_moves_up_when_it_is_found_further_down() -> None:
    house = House()
    house.cache.keep(REQUEST, ANSWER)
    house.fast.delete(KEY)
    assert house.cache.look_up(REQUEST).level is CacheLevel.L3
    assert house.cache.look_up(REQUEST).level is CacheLevel.L1


def test_a_miss_names_no_level() -> None:
    result = House().cache.look_up(REQUEST)
    assert (result.hit, result.level, result.recognition) == (False, None, None)


def test_a_level_in_trouble_is_passed_over_and_said_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House(BrokenStore())
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            house.cache.keep(REQUEST, ANSWER)
            assert house.cache.find(REQUEST) == ANSWER
        assert len(caplog.records) == 1
        house.clock.advance(61)
        assert house.cache.find(REQUEST) == ANSWER
    assert ["L1" in record.getMessage() for record in caplog.records] == [True, True]


def test_a_level_in_trouble_is_not_announced() -> None:
    house = House(BrokenStore())
    house.cache.keep(REQUEST, ANSWER)
    assert [e.level for e in house.events if isinstance(e, CacheEntryCreated)] == ["L3"]


def test_a_damaged_entry_is_deleted_and_the_next_level_answers() -> None:
    house = House()
    house.cache.keep(REQUEST, ANSWER)
    house.fast.put(KEY, b"damaged")
    assert house.cache.look_up(REQUEST).level is CacheLevel.L3
    assert house.fast.get(KEY) == codec.encode(ANSWER)


def test_an_entry_that_is_damaged_everywhere_is_a_miss_and_gone() -> None:
    house = House()
    for store in (house.fast, house.slow):
        store.put(KEY, b"damaged")
    assert house.cache.find(REQUEST) is None
    assert house.fast.get(KEY) is house.slow.get(KEY) is None


def test_neither_a_gap_nor_a_giant_nor_what_cannot_be_encoded_is_kept() -> None:
    house = House(policy=CachePolicy(maximum_entry_bytes=1000))
    house.cache.keep(REQUEST, a_recognition("half of it", A_GAP))
    house.cache.keep(REQUEST, a_recognition(" ".join(map(sha256_of, map(str, range(99))))))
    house.cache.keep(REQUEST, a_recognition("\udcff"))
    assert house.fast.get(KEY) is house.slow.get(KEY) is None
    assert house.events == []


def test_each_level_keeps_an_entry_for_its_own_time() -> None:
    house = House(policy=CachePolicy(ttl={CacheLevel.L1: TTL(30)}))
    house.cache.keep(REQUEST, ANSWER)
    house.clock.advance(30)
    assert house.cache.look_up(REQUEST).level is CacheLevel.L3


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_lifetime_is_longer_than_nothing(seconds: float) -> None:
    with pytest.raises(InvalidOption):
        TTL(seconds)


@pytest.fixture(params=["memory", "database"])
def store(request: pytest.FixtureRequest, database: Database) -> tuple[CacheStore, FakeClock]:
    clock = FakeClock()
    if request.param == "memory":
        return MemoryCacheStore(10**6, now=clock), clock
    return SqlCacheStore(database, now=clock), clock


def test_every_store_keeps_replaces_and_deletes(store: tuple[CacheStore, FakeClock]) -> None:
    level, _ = store
    assert level.get(KEY) is None
    level.delete(KEY)
    level.put(KEY, b"one")
    level.put(KEY, b"two")
    assert level.get(KEY) == b"two"
    level.delete(KEY)
    assert level.get(KEY) is None


def test_every_store_forgets_in_time_and_not_before(store: tuple[CacheStore, FakeClock]) -> None:
    level, clock = store
    level.put(KEY, b"value", ttl=TTL(10))
    clock.advance(9.9)
    assert level.get(KEY) == b"value"
    clock.advance(0.1)
    assert level.get(KEY) is None
    level.put(KEY, b"value")
    clock.advance(10**9)
    assert level.get(KEY) == b"value"


def test_memory_never_holds_more_than_its_bytes_and_drops_what_was_used_least_recently() -> None:
    cost = 100 + ENTRY_OVERHEAD_BYTES
    level = MemoryCacheStore(3 * cost, now=FakeClock())
    first, *others = (CacheKey(sha256_of(str(n))) for n in range(6))
    level.put(first, bytes(100))
    for other in others:
        level.put(other, bytes(100))
        assert level.get(first) is not None
        assert level.size_bytes <= 3 * cost
    assert [level.get(other) is None for other in others] == [True, True, True, False, False]


def test_memory_does_not_empty_itself_for_an_entry_that_never_fits() -> None:
    level = MemoryCacheStore(2000, now=FakeClock())
    level.put(KEY, b"small")
    level.put(CacheKey(sha256_of("giant")), bytes(5000))
    assert level.get(KEY) == b"small"


def test_use_is_written_down_at_most_once_a_day(database: Database) -> None:
    clock = FakeClock()
    level = SqlCacheStore(database, now=clock)
    level.put(KEY, b"value")
    for _ in range(5):
        clock.advance(SECONDS_BETWEEN_TOUCHES / 2)
        level.get(KEY)
        level.get(KEY)
    with database.read() as connection:
        row = connection.execute("SELECT hits, last_used_at, size FROM cache_entry").fetchone()
    assert row == (2, clock.unix_s - SECONDS_BETWEEN_TOUCHES / 2, 5)


def test_a_row_that_holds_something_else_is_deleted_when_it_is_read(tmp_path: Path) -> None:
    database = opened(tmp_path)
    level = SqlCacheStore(database, now=FakeClock())
    level.put(KEY, b"value")
    with database.write() as connection:
        connection.execute("UPDATE cache_entry SET value = 'a text'")
    assert level.get(KEY) is None
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM cache_entry").fetchone() == (0,)
    database.close()


def test_the_answers_of_a_file_can_be_deleted_and_no_others(database: Database) -> None:
    mine, other = FileHash(sha256_of("mine")), FileHash(sha256_of("other"))
    level = SqlCacheStore(database, now=FakeClock())
    keys = [CacheKey(sha256_of(str(number))) for number in range(3)]
    for key, source in zip(keys, (mine, other, None), strict=True):
        level.put(key, b"value", source=source)
    assert level.delete_of(mine) == 1
    assert [level.get(key) is None for key in keys] == [True, False, False]


def test_memory_forgets_everything_at_once() -> None:
    level = MemoryCacheStore(10**6, now=FakeClock())
    level.put(KEY, b"value")
    level.clear()
    assert level.get(KEY) is None
    assert level.size_bytes == 0
