"""What every result cache promises, whatever is behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from stretto.contexts.caching.adapters.memory import MemoryCacheStore
from stretto.contexts.caching.adapters.redis import RedisCacheStore
from stretto.contexts.caching.adapters.sql import SqlCacheStore
from stretto.contexts.caching.adapters.sql_records import (
    SqlInvalidationRecords,
    SqlLeases,
    SqlUseRecords,
)
from stretto.contexts.caching.model import CacheLevel
from stretto.contexts.caching.multilevel import MultiLevelCache
from stretto.contexts.caching.ports import CacheStore
from stretto.contexts.core.errors import TransientEngineFailure
from stretto.contexts.core.recognition import Recognition
from stretto.contexts.processing.model import CancelToken
from stretto.contexts.processing.ports import ResultCache
from tests.caches import CacheHouse, RedisServer
from tests.conftest import Place
from tests.fakes.clock import FakeClock
from tests.fakes.examples import A_GAP, a_recognition, a_recognition_request
from tests.fakes.result_cache import MemoryResultCache
from tests.servers import Database, opened

MEMORY, REDIS, DISK = CacheLevel.L1, CacheLevel.L2, CacheLevel.L3
LEVELS = {
    "memory level": (MEMORY,),
    "redis level": (REDIS,),
    "disk level": (DISK,),
    "all levels": (MEMORY, REDIS, DISK),
}


def levelled(
    database: Database, kinds: tuple[CacheLevel, ...], server: RedisServer
) -> MultiLevelCache:
    clock = FakeClock()
    identity = uuid4().hex

    def redis() -> RedisCacheStore:
        store = RedisCacheStore(server.url, identity=lambda: identity, now=clock, timeout_s=5.0)
        assert store.status().working  # a busy machine may need longer than the first call waits
        return store

    stores: dict[CacheLevel, Callable[[], CacheStore]] = {
        MEMORY: lambda: MemoryCacheStore(10**6, now=clock),
        REDIS: redis,
        DISK: lambda: SqlCacheStore(database, now=clock),
    }
    return CacheHouse(
        [(kind, stores[kind]()) for kind in kinds],
        clock=clock,
        records=SqlInvalidationRecords(database),
        uses=SqlUseRecords(database),
        leases=SqlLeases(database, now=clock),
    ).cache


@pytest.fixture(params=["twin", *LEVELS])
def cache(
    request: pytest.FixtureRequest, database: Database, shared_redis: RedisServer
) -> ResultCache:
    if request.param == "twin":
        return MemoryResultCache()
    return levelled(database, LEVELS[request.param], shared_redis)


def test_nothing_is_found_before_something_is_kept(cache: ResultCache) -> None:
    assert cache.find(a_recognition_request()) is None


def test_what_was_kept_is_found_as_it_was(cache: ResultCache) -> None:
    cache.keep(a_recognition_request(), a_recognition("naïve 日本語 🎵\x00"))
    assert cache.find(a_recognition_request()) == a_recognition("naïve 日本語 🎵\x00")


def test_an_answer_without_any_speech_is_an_answer(cache: ResultCache) -> None:
    cache.keep(a_recognition_request(), Recognition())
    assert cache.find(a_recognition_request()) == Recognition()


@pytest.mark.parametrize(
    "other",
    [
        a_recognition_request("other audio"),
        a_recognition_request(prompt="Dickens"),
        a_recognition_request(detected=True),
    ],
)
def test_another_request_does_not_find_it(cache: ResultCache, other: object) -> None:
    cache.keep(a_recognition_request(), a_recognition())
    assert cache.find(other) is None  # type: ignore[arg-type]


def test_an_answer_with_a_gap_is_never_kept(cache: ResultCache) -> None:
    cache.keep(a_recognition_request(), a_recognition("half of it", A_GAP))
    assert cache.find(a_recognition_request()) is None


def test_an_answer_with_a_gap_does_not_replace_a_whole_one(cache: ResultCache) -> None:
    cache.keep(a_recognition_request(), a_recognition("all of it"))
    cache.keep(a_recognition_request(), a_recognition("half of it", A_GAP))
    assert cache.find(a_recognition_request()) == a_recognition("all of it")


def test_what_is_kept_again_replaces_what_was_there(cache: ResultCache) -> None:
    cache.keep(a_recognition_request(), a_recognition("first"))
    cache.keep(a_recognition_request(), a_recognition("second"))
    assert cache.find(a_recognition_request()) == a_recognition("second")


def test_many_threads_find_what_many_threads_keep(cache: ResultCache) -> None:
    start = threading.Barrier(8)

    def keep_and_find(thread: int) -> bool:
        start.wait()
        for number in range(5):
            request = a_recognition_request(f"{thread}-{number}")
            cache.keep(request, a_recognition(f"{thread} {number}"))
            if cache.find(request) != a_recognition(f"{thread} {number}"):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(keep_and_find, range(8)))


def test_how_an_answer_came_to_be_is_not_kept(cache: ResultCache) -> None:
    cache.keep(a_recognition_request(), replace(a_recognition(), recalled_s=2.0))
    assert cache.find(a_recognition_request()) == a_recognition()


def test_what_is_computed_is_kept_and_computed_once(cache: ResultCache) -> None:
    calls: list[int] = []

    def work() -> Recognition:
        calls.append(1)
        return replace(a_recognition(), recalled_s=1.0)

    first = cache.compute(a_recognition_request(), work, cancel=CancelToken())
    again = cache.compute(a_recognition_request(), work, cancel=CancelToken())
    assert (first.segments, again) == (a_recognition().segments, a_recognition())
    assert cache.find(a_recognition_request()) == a_recognition()
    assert len(calls) == 1


def test_many_who_ask_at_once_have_it_computed_once(cache: ResultCache) -> None:
    calls: list[int] = []
    start = threading.Barrier(12)

    def ask(_: int) -> Recognition:
        start.wait()
        return cache.compute(a_recognition_request(), work, cancel=CancelToken())

    def work() -> Recognition:
        calls.append(1)
        return a_recognition()

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, range(12))) == {a_recognition()}
    assert len(calls) == 1


def test_a_failure_is_passed_on_and_not_kept(cache: ResultCache) -> None:
    def fail() -> Recognition:
        raise TransientEngineFailure

    with pytest.raises(TransientEngineFailure):
        cache.compute(a_recognition_request(), fail, cancel=CancelToken())
    assert cache.find(a_recognition_request()) is None


def test_a_computed_answer_with_a_gap_is_given_back_and_not_kept(cache: ResultCache) -> None:
    partial = a_recognition("half of it", A_GAP)
    assert cache.compute(a_recognition_request(), lambda: partial, cancel=CancelToken()) == partial
    assert cache.find(a_recognition_request()) is None


def test_a_cache_on_the_disk_outlives_the_process(place: Place, shared_redis: RedisServer) -> None:
    database = opened(place)
    both = (MEMORY, DISK)
    levelled(database, both, shared_redis).keep(a_recognition_request(), a_recognition())
    database.close()
    again = opened(place)
    assert levelled(again, both, shared_redis).find(a_recognition_request()) == a_recognition()
    again.close()
