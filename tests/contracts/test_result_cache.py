"""What every result cache promises, whatever is behind it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stretto.contexts.caching.adapters import codec
from stretto.contexts.caching.adapters.memory import MemoryCacheStore
from stretto.contexts.caching.adapters.sql import SqlCacheStore
from stretto.contexts.caching.model import CacheLevel
from stretto.contexts.caching.multilevel import Level, MultiLevelCache
from stretto.contexts.core.recognition import Recognition
from stretto.contexts.processing.ports import ResultCache
from tests.conftest import Place
from tests.fakes.clock import FakeClock
from tests.fakes.examples import A_GAP, a_recognition, a_recognition_request
from tests.fakes.result_cache import MemoryResultCache
from tests.servers import Database, opened

MEMORY, DISK = "memory", "disk"
LEVELS = {"memory level": (MEMORY,), "disk level": (DISK,), "both levels": (MEMORY, DISK)}


def levelled(database: Database, kinds: tuple[str, ...]) -> MultiLevelCache:
    clock = FakeClock()
    levels = {
        MEMORY: Level(level=CacheLevel.L1, store=MemoryCacheStore(10**6, now=clock)),
        DISK: Level(level=CacheLevel.L3, store=SqlCacheStore(database, now=clock)),
    }
    chosen = [levels[kind] for kind in kinds]
    return MultiLevelCache(chosen, codec=codec, now=clock, publish=lambda _: None)


@pytest.fixture(params=["twin", *LEVELS])
def cache(request: pytest.FixtureRequest, database: Database) -> ResultCache:
    if request.param == "twin":
        return MemoryResultCache()
    return levelled(database, LEVELS[request.param])


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


def test_a_cache_on_the_disk_outlives_the_process(place: Place) -> None:
    database = opened(place)
    levelled(database, (MEMORY, DISK)).keep(a_recognition_request(), a_recognition())
    database.close()
    again = opened(place)
    assert levelled(again, (MEMORY, DISK)).find(a_recognition_request()) == a_recognition()
    again.close()
