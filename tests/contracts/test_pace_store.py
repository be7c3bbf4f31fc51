"""What every keeper of a pace promises, in the memory of a process and in Redis."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from stretto.contexts.external.adapters.pace_memory import MemoryPaceStore
from stretto.contexts.external.adapters.pace_redis import RedisPaceStore
from stretto.contexts.external.pace import Pace, RateLimit, started
from stretto.contexts.external.ports import PaceStore
from stretto.contexts.external.ratelimit import RateLimitHandler, TurnPassed
from stretto.contexts.processing.model import CancelToken
from tests.caches import RedisServer, redis_server

PATIENCE_S = 10.0
"""With Redis on a machine that does other things as well: what is tried is what they share."""

Make = Callable[[], PaceStore]


@pytest.fixture(params=["memory", "redis"])
def stores(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes one store after the other over the same pace."""
    if request.param == "memory":
        only = MemoryPaceStore(time.monotonic)
        yield lambda: only
        return
    server: RedisServer = request.getfixturevalue("shared_redis")
    name, made = uuid.uuid4().hex, []

    def make() -> RedisPaceStore:
        made.append(RedisPaceStore(server.url, name=name, timeout_s=PATIENCE_S))
        return made[-1]

    yield make
    for store in made:
        store.close()


def test_it_begins_with_nothing_and_keeps_what_was_made_of_it(stores: Make) -> None:
    one, other = stores(), stores()
    assert one.change(lambda pace, _: pace) == Pace()
    after = one.change(lambda pace, now: started(pace, "p", 2.0, now))
    assert other.change(lambda pace, _: pace) == after


def test_no_change_of_many_at_once_is_lost(stores: Make) -> None:
    makers = [stores() for _ in range(4)]

    def add(number: int) -> None:
        makers[number % 4].change(lambda pace, now: started(pace, str(number), 0.0, now))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert len(makers[0].change(lambda pace, _: pace).permits) == 40


def test_the_time_goes_on(stores: Make) -> None:
    times: list[float] = []
    store = stores()
    for _ in range(3):
        store.change(lambda pace, now: times.append(now) or replace(pace, learned_at=now))
        time.sleep(0.01)
    assert 0.005 < times[1] - times[0] < 5.0
    assert times == sorted(times)


def test_what_one_process_used_up_the_other_does_not_get(stores: Make) -> None:
    limit = RateLimit(requests_per_minute=3, concurrency=8)
    handlers = [RateLimitHandler(limit, store=stores(), clock=time.monotonic) for _ in range(2)]
    for number in range(3):
        handlers[number % 2].enter(
            audio_s=1.0, tenant="", until=time.monotonic() + 5, cancel=CancelToken()
        )
    for handler in handlers:
        with pytest.raises(TurnPassed):
            handler.enter(
                audio_s=1.0, tenant="", until=time.monotonic() + 0.2, cancel=CancelToken()
            )


def test_a_refusal_that_one_process_met_keeps_the_other_away(stores: Make) -> None:
    limit = RateLimit(concurrency=8)
    one, other = (RateLimitHandler(limit, store=stores(), clock=time.monotonic) for _ in range(2))
    permit = one.enter(audio_s=1.0, tenant="", until=time.monotonic() + 5, cancel=CancelToken())
    one.refused(permit, closed_s=0.5)
    one.leave(permit)
    began = time.monotonic()
    other.enter(audio_s=1.0, tenant="", until=began + 9, cancel=CancelToken())
    assert time.monotonic() - began >= 0.45


def test_without_its_server_a_process_goes_on_alone(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        store = RedisPaceStore(server.url, name="x")
        store.change(lambda pace, now: started(pace, "p", 0.0, now))
        server.stop()
        assert store.change(lambda pace, now: started(pace, "q", 0.0, now)).permits
        began = time.monotonic()
        store.change(lambda pace, _: pace)
        assert time.monotonic() - began < 1.0
        store.close()


def test_a_value_of_somebody_else_counts_as_none(shared_redis: RedisServer) -> None:
    name = uuid.uuid4().hex
    shared_redis.run("SET", f"stretto:pace:{name}", b"\x93nonsense")
    store = RedisPaceStore(shared_redis.url, name=name)
    assert store.change(lambda pace, now: started(pace, "p", 0.0, now)).permits
    store.close()
