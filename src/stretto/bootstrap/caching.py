"""Wires the cache of the settings: memory, Redis where there is one, and the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import util
from typing import TYPE_CHECKING

from stretto.bootstrap.clock import now
from stretto.bootstrap.database import build_database
from stretto.contexts.caching.adapters import codec
from stretto.contexts.caching.adapters.memory import MemoryCacheStore
from stretto.contexts.caching.adapters.sql import SqlCacheStore
from stretto.contexts.caching.adapters.sql_records import (
    SqlInvalidationRecords,
    SqlLeases,
    SqlUseRecords,
)
from stretto.contexts.caching.flights import SingleFlight
from stretto.contexts.caching.invalidation import CacheInvalidator, InvalidationLog
from stretto.contexts.caching.levels import Level
from stretto.contexts.caching.management import CacheManagement
from stretto.contexts.caching.model import (
    TTL,
    CacheEntry,
    CacheKey,
    CacheLevel,
    CachePolicy,
    Invalidation,
    LevelStatus,
)
from stretto.contexts.caching.multilevel import MultiLevelCache
from stretto.contexts.caching.usage import UseLog
from stretto.contexts.caching.warming import CacheWarmer, WarmingBudget
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import InvalidOption
from stretto.settings import Settings

if TYPE_CHECKING:
    from stretto.bootstrap.database import Database
    from stretto.contexts.caching.adapters.redis import RedisCacheStore
    from stretto.contexts.caching.ports import Observer

MEGABYTE = 1_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caching:
    """The cache as the program uses it, and as an operator does."""

    cache: MultiLevelCache
    management: CacheManagement


def build_caching(
    settings: Settings,
    database: Database,
    events: EventBus,
    *,
    observer: Observer | None = None,
) -> Caching:
    """Opens nothing. Raises InvalidOption when Redis is set up and its package is missing."""
    policy = policy_of(settings)
    records = SqlInvalidationRecords(database)
    uses = SqlUseRecords(database)
    memory = MemoryCacheStore(policy.maximum_bytes[CacheLevel.L1], now=now)
    lasting = SqlCacheStore(database, now=now, maximum_bytes=policy.maximum_bytes[CacheLevel.L3])
    shared = _shared(settings, records)
    faster = [Level(level=CacheLevel.L1, store=memory)]
    if shared is not None:
        faster.append(Level(level=CacheLevel.L2, store=shared))
    levels = [*faster, Level(level=CacheLevel.L3, store=lasting)]
    log = InvalidationLog(records, now=now, heard=memory.delete_struck)
    cache = MultiLevelCache(
        levels,
        codec=codec,
        log=log,
        uses=UseLog(uses, now=now),
        flights=SingleFlight(SqlLeases(database, now=now)),
        now=now,
        publish=events.publish,
        policy=policy,
        tag=settings.cache_tag,
        observer=observer,
    )

    def close() -> None:
        cache.flush()
        if shared is not None:
            shared.close()

    management = CacheManagement(
        levels=levels,
        examinable=(memory, shared, lasting) if shared is not None else (memory, lasting),
        lasting=lasting,
        codec=codec,
        uses=uses,
        log=log,
        invalidator=CacheInvalidator(
            levels, records=records, log=log, now=now, publish=events.publish
        ),
        warmer=CacheWarmer(
            lasting=lasting, store=lasting, faster=faster, log=log, policy=policy, now=now
        ),
        flush=cache.flush,
        close=close,
    )
    return Caching(cache=cache, management=management)


def build_cache_management(settings: Settings, database: Database) -> CacheManagement:
    """The cache for an operator, with the database; closing it closes both."""
    management = build_caching(settings, database, EventBus()).management

    def close() -> None:
        management.close()
        database.close()

    return replace(management, close=close)


def look_at_cache(settings: Settings) -> dict[str, Callable[[], LevelStatus]]:
    """Each lasting level by its name, and how to find out how it is doing; nothing is made."""
    there = settings.database_address is not None or settings.database_path.exists()

    def shared() -> LevelStatus:
        from stretto.contexts.caching.adapters.redis import RedisCacheStore

        database = build_database(settings)
        records = SqlInvalidationRecords(database)
        store = RedisCacheStore(
            settings.redis_url,
            identity=lambda: records.newest()[0] if there else "of nobody yet",
            now=now,
        )
        try:
            return store.status()
        finally:
            store.close()
            database.close()

    def lasting() -> LevelStatus:
        database = build_database(settings)
        limit = policy_of(settings).maximum_bytes[CacheLevel.L3]
        try:
            return SqlCacheStore(database, now=now, maximum_bytes=limit).status()
        finally:
            database.close()

    looks: dict[str, Callable[[], LevelStatus]] = {}
    if settings.redis_url:
        looks[CacheLevel.L2] = shared
    if there:
        looks[CacheLevel.L3] = lasting
    return looks


def policy_of(settings: Settings) -> CachePolicy:
    return CachePolicy(
        ttl={
            CacheLevel.L1: TTL(float(settings.cache_memory_ttl_s)),
            CacheLevel.L2: TTL(float(settings.cache_redis_ttl_s)),
        },
        maximum_bytes={
            CacheLevel.L1: settings.cache_memory_mb * MEGABYTE,
            CacheLevel.L3: settings.cache_disk_mb * MEGABYTE,
        },
    )


def warm_in_background(settings: Settings, management: CacheManagement) -> None:
    """Load the most used answers while the program starts, if the settings say so."""
    if not settings.cache_warm_s:
        return
    budget = WarmingBudget(
        seconds=float(settings.cache_warm_s),
        maximum_bytes=max(1, settings.cache_memory_mb) * MEGABYTE,
    )

    def warm() -> None:
        try:
            result = management.warm(budget)
        except Exception as error:  # a cold cache is slower and just as right
            logger.info("The cache was not warmed. %s", error)
        else:
            logger.info("%d answers were loaded into the faster levels.", result.entries)

    threading.Thread(target=warm, name="cache warmer", daemon=True).start()


def _shared(settings: Settings, records: SqlInvalidationRecords) -> _Later | None:
    if not settings.redis_url:
        return None
    if util.find_spec("redis") is None:
        raise InvalidOption(
            "STRETTO_REDIS_URL is set, but a package that it needs is not installed. "
            "Install it with: pip install 'stretto[redis]'"
        )

    def make() -> RedisCacheStore:
        from stretto.contexts.caching.adapters.redis import RedisCacheStore

        return RedisCacheStore(settings.redis_url, identity=lambda: records.newest()[0], now=now)

    return _Later(make)


class _Later:
    """The level in Redis, whose library is loaded when the level is used for the first time."""

    def __init__(self, make: Callable[[], RedisCacheStore]) -> None:
        self._make = make
        self._made: RedisCacheStore | None = None
        self._lock = threading.Lock()

    def get(self, key: CacheKey) -> CacheEntry | None:
        return self._store().get(key)

    def put(self, entry: CacheEntry) -> None:
        self._store().put(entry)

    def delete(self, key: CacheKey) -> None:
        self._store().delete(key)

    def delete_struck(self, invalidation: Invalidation) -> int:
        return self._store().delete_struck(invalidation)

    def status(self) -> LevelStatus:
        return self._store().status()

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def _store(self) -> RedisCacheStore:
        if self._made is None:
            with self._lock:
                self._made = self._made or self._make()
        return self._made
