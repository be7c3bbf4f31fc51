"""Whoever gives up in the middle of an answer leaves nothing of it to others: nobody ever gets the
value of another key."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from types import FrameType
from uuid import uuid4

import pytest

from stretto.contexts.caching.adapters.redis import RedisCacheStore
from tests.caches import RedisServer
from tests.fakes.caching import a_key, an_entry
from tests.fakes.clock import FakeClock
from tests.integration.test_redis_trouble import Proxy

NAMES = [f"key {number}" for number in range(20)]
TIMES = 200
PATIENCE_S = 0.02
"""An answer takes 10 ms, so that some are given up before they are there, and some are not."""


@pytest.fixture
def store(shared_redis: RedisServer) -> Iterator[RedisCacheStore]:
    """Behind a relay that takes 5 ms each way. What it holds for each key is made of the key."""
    identity = uuid4().hex
    with closing(Proxy(shared_redis)) as proxy:
        store = RedisCacheStore(
            proxy.url, identity=lambda: identity, now=FakeClock(1_000_000.0), timeout_s=20.0
        )
        with closing(store):
            assert store.status().working
            for name in NAMES:
                store.put(an_entry(name, value_of(name)))
            proxy.delay_s = 0.005
            yield store


def value_of(name: str) -> bytes:
    return f"what belongs to {name}".encode()


def is_right(store: RedisCacheStore, name: str) -> bool:
    entry = store.get(a_key(name))
    return entry is not None and entry.value == value_of(name)


def test_requests_that_hang_up_leave_no_answer_to_others(store: RedisCacheStore) -> None:
    """A thread cannot be cancelled: it takes its answer along, whether somebody waits or not."""
    dice, found, given_up = random.Random(1), [], 0

    def ask(name: str) -> None:
        found.append(is_right(store, name))

    async def request() -> None:
        nonlocal given_up
        try:
            async with asyncio.timeout(dice.uniform(0, PATIENCE_S)):
                await asyncio.to_thread(ask, dice.choice(NAMES))
        except TimeoutError:
            given_up += 1

    async def storm() -> None:
        await asyncio.gather(*(request() for _ in range(TIMES)))

    asyncio.run(storm())  # and until its threads have ended
    assert given_up > 0
    assert found
    assert all(found)
    assert all(is_right(store, name) for name in NAMES)


class GivenUp(BaseException):
    """As by Ctrl-C."""


@contextmanager
def given_up_after(seconds: float) -> Iterator[None]:
    """If an answer is just being waited for; a signal that comes at another moment does nothing."""

    def give_up(_: int, interrupted: FrameType | None) -> None:
        if interrupted is not None and interrupted.f_code.co_name == "recv_into":
            raise GivenUp

    before = signal.signal(signal.SIGUSR1, give_up)
    main = threading.main_thread().ident
    timer = threading.Timer(seconds, signal.pthread_kill, (main, signal.SIGUSR1))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_read_that_is_broken_off_leaves_no_answer_to_the_next(store: RedisCacheStore) -> None:
    dice, told = random.Random(1), 0
    for _ in range(TIMES):
        with suppress(GivenUp), given_up_after(dice.uniform(0, PATIENCE_S)):
            assert is_right(store, dice.choice(NAMES))
            told += 1
    assert told < TIMES
    assert all(is_right(store, name) for name in NAMES)
