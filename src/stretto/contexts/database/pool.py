"""Lends connections to many callers at once: never a hang, never a leak, counted all the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Generic

from stretto.contexts.core.errors import StorageBusy, StorageUnavailable
from stretto.contexts.database.model import PoolMetrics, PoolSize
from stretto.contexts.database.ports import ConnectionPool, Held


@dataclass(slots=True)
class _Counted:
    checkouts: int = 0
    refusals: int = 0
    failures: int = 0
    waited_s: float = 0.0
    longest_wait_s: float = 0.0


class ConnectionPoolManager(Generic[Held]):
    """Hands out connections of ``pool``, which holds as many as ``size`` says.

    ``place`` names the database in messages, without its password.
    """

    def __init__(
        self,
        pool: ConnectionPool[Held],
        *,
        size: PoolSize,
        place: str,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._size = size
        self._place = place
        self._monotonic_s = monotonic_s
        self._counted = _Counted()
        self._lock = Lock()
        self._warm = False

    @contextmanager
    def connection(self) -> Generator[Held, None, None]:
        """A connection for the length of the block.

        Raises StorageBusy when all stay in use, StorageUnavailable when the server is away; the
        next call after the server came back has a good one again.
        """
        self._warm_up()
        held = self._checkout()
        try:
            yield held
        finally:
            self._pool.give_back(held)

    def metrics(self) -> PoolMetrics:
        in_use, idle = self._pool.counts()
        with self._lock:
            counted = self._counted
            return PoolMetrics(
                size=self._size,
                in_use=in_use,
                idle=idle,
                checkouts=counted.checkouts,
                refusals=counted.refusals,
                failures=counted.failures,
                waited_s=counted.waited_s,
                longest_wait_s=counted.longest_wait_s,
            )

    def close(self) -> None:
        self._pool.close()

    def _checkout(self) -> Held:
        began = self._monotonic_s()
        try:
            held = self._pool.checkout()
        except TimeoutError as cause:
            with self._lock:
                self._counted.refusals += 1
            raise StorageBusy(
                f"All {self._size.limit} connections to {self._place} are in use. "
                "Try again in a moment, or raise STRETTO_DATABASE_POOL_MAX."
            ) from cause
        except StorageUnavailable:
            with self._lock:
                self._counted.failures += 1
            raise
        waited_s = self._monotonic_s() - began
        with self._lock:
            self._counted.checkouts += 1
            self._counted.waited_s += waited_s
            self._counted.longest_wait_s = max(self._counted.longest_wait_s, waited_s)
        return held

    def _warm_up(self) -> None:
        """Open the minimum before the first caller needs it; trouble is the first caller's."""
        with self._lock:
            if self._warm:
                return
            self._warm = True
        opened: list[Held] = []
        try:
            while len(opened) < self._size.minimum:
                opened.append(self._pool.checkout())
        except (TimeoutError, StorageUnavailable):
            with self._lock:
                self._warm = False
        finally:
            for held in opened:
                self._pool.give_back(held)
