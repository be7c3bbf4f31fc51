"""Each kind of trouble on the way to Redis: as a cache it is missed and no answer is wrong, as what
services share their pace in it is done without, and both come back by themselves."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from statistics import median

import pytest

from stretto.contexts.core.recognition import Recognition
from stretto.contexts.external.adapters import pace_redis
from stretto.contexts.external.adapters.pace_redis import RedisPaceStore
from stretto.contexts.external.pace import Pace, started
from tests.caches import RedisServer
from tests.chaos.fleet import until
from tests.chaos.links import TOXICS, Link, Toxic, tcp_link
from tests.chaos.score import noted, remarked
from tests.chaos.terms import SEED, TIMES
from tests.fakes.examples import a_recognition, a_recognition_request
from tests.integration.test_redis_trouble import BACK_AFTER_S, house_over

pytestmark = pytest.mark.timeout(60 * TIMES)
TRIED = TOXICS if TIMES >= 10 else (Toxic.BLACK_HOLE, Toxic.HALF)
BAD_S = 0.3 if TIMES < 10 else 5.0
ENTRIES = 20
USUAL_S = 0.05
"""Most calls take next to nothing, because what is in trouble is not asked; the longest of them,
which a machine that does other things may hold up as long as it likes, stands on the card."""

TRIES = 5


@pytest.fixture
def bad(redis: RedisServer) -> Iterator[tuple[Link, str]]:
    """The link, and the address of a Redis behind it."""
    with tcp_link(int(redis.port or 0)) as (link, port):
        yield link, f"redis://127.0.0.1:{port}/0"


def answer(number: int) -> Recognition:
    return a_recognition(f"answer {number}")


def told(what: str, toxic: Toxic, took_s: list[float], back_s: float) -> None:
    noted(faults=1)
    remarked(
        f"{what}, {toxic}: {len(took_s)} calls, the longest {1000 * max(took_s):.0f} ms,"
        f" back after {back_s:.1f} s"
    )


@pytest.mark.parametrize("toxic", TRIED)
def test_whatever_the_way_to_the_cache_is_like_nobody_waits_and_no_answer_is_wrong(
    bad: tuple[Link, str], toxic: Toxic
) -> None:
    dice = random.Random(SEED)
    link, url = bad
    requests = [a_recognition_request(str(number)) for number in range(ENTRIES)]
    with house_over(url) as (house, store):
        until(lambda: store.status().working, seconds=BACK_AFTER_S, meanwhile=lambda: None)
        for number, request in enumerate(requests):
            house.cache.keep(request, answer(number))

        def wrong_and_took_s() -> tuple[bool, float]:
            number = dice.randrange(ENTRIES)
            began = time.perf_counter()
            if dice.random() < 0.2:
                house.cache.keep(requests[number], answer(number))
            found = house.cache.find(requests[number])
            return found != answer(number), time.perf_counter() - began

        def is_back() -> bool:
            asked = wrong_and_took_s()
            assert not asked[0]
            return store.status().working

        link.turn(toxic)
        end, asked = time.monotonic() + BAD_S, []
        while time.monotonic() < end:
            asked.append(wrong_and_took_s())
            time.sleep(0.002)
        link.turn(Toxic.NONE)
        healed = time.monotonic()
        until(is_back, seconds=BACK_AFTER_S, meanwhile=lambda: None)
        took_s = [took for _, took in asked]
        told("cache", toxic, took_s, time.monotonic() - healed)
        noted(wrong_texts=sum(wrong for wrong, _ in asked))
        assert not any(wrong for wrong, _ in asked)
        assert median(took_s) < USUAL_S


@pytest.mark.parametrize("toxic", TRIED)
def test_whatever_the_way_to_the_shared_pace_is_like_nobody_waits_and_it_is_shared_again(
    bad: tuple[Link, str], redis: RedisServer, toxic: Toxic, monkeypatch: pytest.MonkeyPatch
) -> None:
    if TIMES < 10:  # nobody waits five seconds for what takes one
        monkeypatch.setattr(pace_redis, "SECONDS_ALONE", 0.5)
    link, url = bad
    name = uuid.uuid4().hex
    store, past = RedisPaceStore(url, name=name), RedisPaceStore(redis.url, name=name)

    def change() -> float:
        began = time.perf_counter()
        store.change(lambda _, now: started(Pace(), "one", 60.0, now))
        return time.perf_counter() - began

    def is_shared() -> bool:
        change()
        return past.change(lambda pace, _: pace) != Pace()

    try:
        link.turn(toxic)
        end, took_s = time.monotonic() + BAD_S, []
        while time.monotonic() < end:
            took_s.append(change())
            time.sleep(0.002)
        redis.run("FLUSHALL")
        link.turn(Toxic.NONE)
        healed = time.monotonic()
        until(is_shared, seconds=BACK_AFTER_S, meanwhile=lambda: None)
        told("pace", toxic, took_s, time.monotonic() - healed)
        assert median(took_s) < USUAL_S
    finally:
        store.close()
        past.close()


def test_a_silent_server_holds_up_the_first_call_for_a_moment(bad: tuple[Link, str]) -> None:
    """The best of some: the machine may have been busy during the others."""
    link, url = bad
    link.turn(Toxic.BLACK_HOLE)
    took_s = []
    for _ in range(TRIES):
        store, began = RedisPaceStore(url, name="x"), time.perf_counter()
        store.change(lambda _, now: started(Pace(), "one", 60.0, now))
        took_s.append(time.perf_counter() - began)
        store.close()
    assert min(took_s) < 0.2
