"""The manager lends, counts, and refuses in words; whatever holds the connections."""

from __future__ import annotations

import pytest

from stretto.contexts.core.errors import StorageBusy, StorageUnavailable
from stretto.contexts.database.model import PoolSize
from stretto.contexts.database.pool import ConnectionPoolManager
from tests.fakes.clock import FakeClock


class MemoryPool:
    """As many connections as it is given; each is a number."""

    def __init__(self, clock: FakeClock, *, limit: int = 2) -> None:
        self.clock, self.limit, self.lent, self.idle = clock, limit, 0, 0
        self.trouble: Exception | None = None
        self.closed = False

    def checkout(self) -> int:
        if self.trouble:
            raise self.trouble
        self.clock.advance(0.25)
        if self.lent == self.limit:
            raise TimeoutError
        self.lent += 1
        self.idle = max(0, self.idle - 1)
        return self.lent

    def give_back(self, connection: int) -> None:
        self.lent -= 1
        self.idle += 1

    def counts(self) -> tuple[int, int]:
        return self.lent, self.idle

    def close(self) -> None:
        self.closed = True


def managed(minimum: int = 0) -> tuple[ConnectionPoolManager[int], MemoryPool]:
    clock = FakeClock()
    pool = MemoryPool(clock)
    size = PoolSize(minimum=minimum, maximum=2, overflow=0)
    return (
        ConnectionPoolManager(pool, size=size, place="db", monotonic_s=lambda: clock.unix_s),
        pool,
    )


def test_a_connection_comes_back_however_the_block_ends() -> None:
    manager, pool = managed()

    def fail() -> None:
        with manager.connection():
            assert pool.lent == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (pool.lent, pool.idle) == (0, 1)


def test_use_is_counted_and_waiting_is_measured() -> None:
    manager, _ = managed()
    for _ in range(3):
        with manager.connection():
            pass
    metrics = manager.metrics()
    assert (metrics.checkouts, metrics.refusals, metrics.in_use, metrics.idle) == (3, 0, 0, 1)
    assert metrics.waited_s == pytest.approx(0.75)
    assert metrics.longest_wait_s == pytest.approx(0.25)


def test_an_exhausted_pool_refuses_with_what_to_do() -> None:
    manager, _ = managed()
    with (
        manager.connection(),
        manager.connection(),
        pytest.raises(StorageBusy, match=r"All 2 connections to db .*STRETTO_DATABASE_POOL_MAX"),
        manager.connection(),
    ):
        pass
    assert manager.metrics().refusals == 1


def test_the_minimum_is_opened_once_and_again_after_it_could_not_be() -> None:
    manager, pool = managed(minimum=2)
    pool.trouble = StorageUnavailable("down")
    with pytest.raises(StorageUnavailable, match="down"), manager.connection():
        pass
    assert manager.metrics().failures == 1
    pool.trouble = None
    with manager.connection():
        assert (pool.lent, pool.idle) == (1, 1)


def test_closing_closes_the_pool() -> None:
    manager, pool = managed()
    manager.close()
    assert pool.closed
