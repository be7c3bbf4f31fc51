"""Levels are asked in order, heal each other, and never stand in the way."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from stretto.contexts.caching.adapters import codec
from stretto.contexts.caching.addressing import ContentAddresser
from stretto.contexts.caching.model import (
    TTL,
    CacheEntry,
    CacheKey,
    CacheLevel,
    CachePolicy,
    Invalidation,
    Selection,
)
from stretto.contexts.caching.ports import CacheStore
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.events import CacheEntryCreated
from stretto.contexts.core.identifiers import FileHash
from tests.caches import CacheHouse
from tests.fakes.examples import A_GAP, a_recognition, a_recognition_request, sha256_of

REQUEST, ANSWER = a_recognition_request(), a_recognition()
KEY = ContentAddresser().key(REQUEST)


class BrokenStore:
    """Fails on everything, as a store does whose server is gone."""

    def get(self, key: CacheKey) -> CacheEntry | None:
        raise ConnectionError("no server")

    def put(self, entry: CacheEntry) -> None:
        raise ConnectionError("no server")

    def delete(self, key: CacheKey) -> None:
        raise ConnectionError("no server")

    def delete_struck(self, invalidation: Invalidation) -> int:
        raise ConnectionError("no server")


def value_in(store: CacheStore) -> bytes | None:
    entry = store.get(KEY)
    return None if entry is None else entry.value


def damaged(store: CacheStore) -> None:
    entry = store.get(KEY)
    assert entry is not None
    store.put(CacheEntry(key=KEY, value=b"damaged", created_at=entry.created_at))


def with_a_broken_level(level: CacheLevel = CacheLevel.L1) -> CacheHouse:
    house = CacheHouse()
    stores = {CacheLevel.L1: house.fast, CacheLevel.L3: house.slow, level: BrokenStore()}
    return CacheHouse(sorted(stores.items()), clock=house.clock)


def test_an_answer_is_kept_in_all_levels_and_each_is_announced() -> None:
    house = CacheHouse()
    house.cache.keep(REQUEST, ANSWER)
    assert value_in(house.fast) == value_in(house.slow) == codec.encode(ANSWER)
    made = [e for e in house.events if isinstance(e, CacheEntryCreated)]
    assert {(e.cache_key, e.level) for e in made} == {(str(KEY), "L1"), (str(KEY), "L3")}


def test_an_entry_knows_where_its_answer_came_from() -> None:
    house = CacheHouse(tag="project")
    house.cache.keep(REQUEST, ANSWER)
    entry = house.slow.get(KEY)
    assert entry is not None
    origin = entry.origin
    assert (origin.engine, origin.model, origin.grain) == ("whisper", "tiny.en", "chunk")
    assert (origin.tag, entry.speech_s, entry.epoch) == ("project", 2.5, 0)


def test_the_fastest_level_that_has_the_answer_gives_it_and_says_how_old_it_is() -> None:
    house = CacheHouse()
    house.cache.keep(REQUEST, ANSWER)
    house.clock.advance(90)
    result = house.cache.look_up(REQUEST)
    assert (result.hit, result.level, result.recognition) == (True, CacheLevel.L1, ANSWER)
    assert result.age_s == 90


def test_an_answer_moves_up_when_it_is_found_further_down_and_keeps_its_age() -> None:
    house = CacheHouse()
    house.cache.keep(REQUEST, ANSWER)
    house.fast.delete(KEY)
    house.clock.advance(90)
    assert house.cache.look_up(REQUEST).level is CacheLevel.L3
    result = house.cache.look_up(REQUEST)
    assert (result.level, result.age_s) == (CacheLevel.L1, 90)


def test_a_miss_names_no_level() -> None:
    result = CacheHouse().cache.look_up(REQUEST)
    assert (result.hit, result.level, result.age_s, result.recognition) == (False, None, None, None)


def test_how_an_answer_came_to_be_is_not_kept() -> None:
    house = CacheHouse()
    house.cache.keep(REQUEST, codec.decode(codec.encode(ANSWER)) or ANSWER)
    assert house.cache.find(REQUEST) == ANSWER


def test_a_level_in_trouble_is_passed_over_and_said_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = with_a_broken_level()
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            house.cache.keep(REQUEST, ANSWER)
            assert house.cache.find(REQUEST) == ANSWER
        assert len(caplog.records) == 1
        house.clock.advance(61)
        assert house.cache.find(REQUEST) == ANSWER
    assert ["L1" in record.getMessage() for record in caplog.records] == [True, True]


def test_a_level_in_trouble_is_not_announced() -> None:
    house = with_a_broken_level()
    house.cache.keep(REQUEST, ANSWER)
    assert [e.level for e in house.events if isinstance(e, CacheEntryCreated)] == ["L3"]


def test_a_damaged_entry_is_deleted_and_the_next_level_answers() -> None:
    house = CacheHouse()
    house.cache.keep(REQUEST, ANSWER)
    damaged(house.fast)
    assert house.cache.look_up(REQUEST).level is CacheLevel.L3
    assert value_in(house.fast) == codec.encode(ANSWER)


def test_an_entry_that_is_damaged_everywhere_is_a_miss_and_gone() -> None:
    house = CacheHouse()
    house.cache.keep(REQUEST, ANSWER)
    for store in (house.fast, house.slow):
        damaged(store)
    assert house.cache.find(REQUEST) is None
    assert value_in(house.fast) is value_in(house.slow) is None


def test_neither_a_gap_nor_a_giant_nor_what_cannot_be_encoded_is_kept() -> None:
    house = CacheHouse(policy=CachePolicy(maximum_entry_bytes=1000))
    house.cache.keep(REQUEST, a_recognition("half of it", A_GAP))
    house.cache.keep(REQUEST, a_recognition(" ".join(map(sha256_of, map(str, range(99))))))
    house.cache.keep(REQUEST, a_recognition("\udcff"))
    assert value_in(house.fast) is value_in(house.slow) is None
    assert house.events == []


def test_each_level_keeps_an_entry_for_its_own_time() -> None:
    house = CacheHouse(policy=CachePolicy(ttl={CacheLevel.L1: TTL(30)}))
    house.cache.keep(REQUEST, ANSWER)
    house.clock.advance(30)
    assert house.cache.look_up(REQUEST).level is CacheLevel.L3
    house.clock.advance(29)
    assert house.cache.look_up(REQUEST).level is CacheLevel.L1


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_lifetime_is_longer_than_nothing(seconds: float) -> None:
    with pytest.raises(InvalidOption):
        TTL(seconds)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(engine="whisper"),
        Selection(source=FileHash(sha256_of("talk.mp3"))),
    ],
    ids=str,
)
def test_what_was_begun_before_an_invalidation_is_not_kept_after_it(selection: Selection) -> None:
    house = CacheHouse()
    request = replace(REQUEST, source=FileHash(sha256_of("talk.mp3")))
    assert house.cache.find(request) is None  # the computation begins
    house.invalidator.invalidate(selection)
    house.cache.keep(request, ANSWER)
    assert house.cache.find(request) is None  # and another one
    house.cache.keep(request, ANSWER)
    assert house.cache.find(request) == ANSWER


def test_an_invalidation_of_something_else_is_no_hindrance() -> None:
    house = CacheHouse()
    assert house.cache.find(REQUEST) is None
    house.invalidator.invalidate(Selection(engine="cloud"))
    house.invalidator.invalidate(Selection(source=FileHash(sha256_of("other"))))
    house.cache.keep(REQUEST, ANSWER)
    assert house.cache.find(REQUEST) == ANSWER


def test_what_a_level_could_not_delete_is_not_served_all_the_same() -> None:
    house = CacheHouse()
    house.cache.keep(REQUEST, ANSWER)
    house.records.add(Selection(), at=house.clock())  # somebody else's, whose deleting failed
    house.clock.advance(0.2)
    assert house.cache.find(REQUEST) is None
    assert value_in(house.slow) is None


def test_an_entry_from_a_database_that_was_replaced_is_not_believed() -> None:
    house = CacheHouse()
    house.cache.keep(REQUEST, ANSWER)
    entry = house.slow.get(KEY)
    assert entry is not None
    for store in (house.fast, house.slow):
        store.put(CacheEntry(key=KEY, value=entry.value, created_at=entry.created_at, epoch=9))
    assert house.cache.find(REQUEST) is None


def test_without_the_list_of_invalidations_everything_is_a_miss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = CacheHouse()
    house.cache.keep(REQUEST, ANSWER)
    house.records.trouble = ConnectionError("no database")  # type: ignore[attr-defined]
    house.clock.advance(0.5)
    assert house.cache.find(REQUEST) == ANSWER  # it was looked at half a second ago
    house.clock.advance(1.0)
    assert house.cache.find(REQUEST) is None
    house.records.trouble = None  # type: ignore[attr-defined]
    assert house.cache.find(REQUEST) == ANSWER
    assert "list of invalidations" in caplog.text
