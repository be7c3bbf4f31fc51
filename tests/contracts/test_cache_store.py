"""What every level promises, whatever is behind it: memory, Redis, either database."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from stretto.contexts.caching.adapters import codec
from stretto.contexts.caching.adapters.memory import ENTRY_OVERHEAD_BYTES, MemoryCacheStore
from stretto.contexts.caching.adapters.redis import RedisCacheStore, place_of
from stretto.contexts.caching.adapters.redis_entry import closed
from stretto.contexts.caching.adapters.redis_entry import opened as entry_of
from stretto.contexts.caching.adapters.sql import ENTRY_OVERHEAD_BYTES as ROW_OVERHEAD_BYTES
from stretto.contexts.caching.adapters.sql import IN_ONE_TRANSACTION, SqlCacheStore
from stretto.contexts.caching.adapters.sql_records import SqlUseRecords
from stretto.contexts.caching.addressing import ContentAddresser
from stretto.contexts.caching.model import CacheLevel, Invalidation, Selection
from stretto.contexts.caching.ports import CacheStore
from stretto.contexts.core.identifiers import FileHash, Timestamp
from tests.caches import CacheHouse, RedisServer
from tests.fakes.caching import a_key, an_entry
from tests.fakes.clock import FakeClock
from tests.fakes.examples import a_recognition, a_recognition_request, sha256_of
from tests.servers import Database, Server, copied, opened

KEY = a_key("some key")
NOW_S = 1_000_000.0


@dataclass
class Candidate:
    """A level and how what it holds is damaged behind its back."""

    store: Any
    clock: FakeClock
    overwrite: Callable[[object], None] | None = None
    level: CacheLevel = CacheLevel.L3


@pytest.fixture(params=["memory", "redis", "sqlite", "postgresql"])
def candidate(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Candidate]:
    clock = FakeClock(NOW_S)
    if request.param == "memory":
        yield Candidate(MemoryCacheStore(10**6, now=clock), clock, level=CacheLevel.L1)
        return
    if request.param == "redis":
        yield from redis_candidate(request.getfixturevalue("shared_redis"), clock)
        return
    with database_of(request, tmp_path) as database:
        yield sql_candidate(database, clock)


@contextmanager
def database_of(request: pytest.FixtureRequest, home: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = opened(copied(request.getfixturevalue("sqlite_template"), home / "home"))
        yield database
        database.close()
        return
    server: Server = request.getfixturevalue("server")
    with server.database(template=request.getfixturevalue("postgres_template")) as address:
        database = opened(address)
        yield database
        database.close()


def redis_candidate(server: RedisServer, clock: FakeClock) -> Iterator[Candidate]:
    identity = uuid4().hex
    store = RedisCacheStore(server.url, identity=lambda: identity, now=clock, timeout_s=5.0)
    assert store.status().working  # a busy machine may need longer than the first call waits

    def overwrite(value: object) -> None:
        name = place_of(identity)[0] + KEY.value
        server.run("DEL", name)
        if isinstance(value, list):
            server.run("RPUSH", name, *value)
        else:
            server.run("SET", name, value)

    yield Candidate(store, clock, overwrite, CacheLevel.L2)
    store.close()


def sql_candidate(database: Database, clock: FakeClock) -> Candidate:
    def overwrite(value: object) -> None:
        with database.write() as connection:
            connection.execute("UPDATE cache_entry SET value = :value", {"value": value})

    return Candidate(SqlCacheStore(database, now=clock), clock, overwrite)


def test_it_gives_back_what_was_put_last_and_nothing_after_a_delete(candidate: Candidate) -> None:
    store: CacheStore = candidate.store
    assert store.get(KEY) is None
    store.delete(KEY)
    store.put(an_entry(value=b"one"))
    entry = an_entry(
        value=b"two",
        created_at_s=NOW_S - 5.5,
        epoch=7,
        source="file",
        engine="whisper",
        model="tiny.en",
        grain="chunk",
        scope="tenant",
        tag="project",
        speech_s=12.5,
    )
    store.put(entry)
    assert store.get(KEY) == entry
    assert store.get(a_key("other")) is None
    store.delete(KEY)
    assert store.get(KEY) is None


def test_bytes_come_back_as_they_were(candidate: Candidate) -> None:
    for value in (b"", bytes(range(256)) * 2000):
        candidate.store.put(an_entry(value=value))
        assert candidate.store.get(KEY).value == value


def test_what_is_over_is_gone(candidate: Candidate) -> None:
    candidate.store.put(an_entry(expires_at_s=NOW_S + 10))
    assert candidate.store.get(KEY) is not None
    candidate.store.put(an_entry(expires_at_s=NOW_S - 1))
    if candidate.level is not CacheLevel.L2:  # that one counts by the clock of its server
        candidate.clock.advance(10)
        assert candidate.store.get(KEY) is None


SELECTIONS = [
    (Selection(), "abcd"),
    (Selection(source=FileHash(sha256_of("file a"))), "a"),
    (Selection(engine="whisper"), "abd"),
    (Selection(engine="whisper", model="tiny.en"), "ad"),
    (Selection(model="base"), "bcd"),
    (Selection(tag="project"), "b"),
    (Selection(before=Timestamp(NOW_S - 50)), "c"),
    (Selection(engine="cloud", before=Timestamp(NOW_S - 200)), ""),
]


@pytest.mark.parametrize(("selection", "expected"), SELECTIONS, ids=lambda value: str(value)[:40])
def test_an_invalidation_deletes_exactly_what_it_strikes(
    candidate: Candidate, selection: Selection, expected: str
) -> None:
    entries = {
        "a": an_entry("a", source="file a", engine="whisper", model="tiny.en"),
        "b": an_entry("b", source="file b", engine="whisper", model="base", tag="project"),
        "c": an_entry("c", engine="cloud", model="base", created_at_s=NOW_S - 100),
        "d": an_entry("d"),  # of an older program, which did not say what made it
        "new": an_entry("new", source="file a", engine="whisper", model="base", epoch=3),
    }
    for entry in entries.values():
        candidate.store.put(entry)
    invalidation = Invalidation(number=3, at=Timestamp(NOW_S), selection=selection)
    assert {n for n, e in entries.items() if invalidation.strikes(e)} == set(expected)
    assert candidate.store.delete_struck(invalidation) == len(expected)
    left = {name for name in entries if candidate.store.get(a_key(name)) is not None}
    assert left == entries.keys() - set(expected)


def test_many_entries_are_deleted_too(candidate: Candidate) -> None:
    count = 2 * IN_ONE_TRANSACTION + 1 if candidate.level is not CacheLevel.L1 else 300
    for number in range(count):
        candidate.store.put(an_entry(str(number), b"v"))
    everything = Invalidation(number=1, at=Timestamp(NOW_S), selection=Selection())
    assert candidate.store.delete_struck(everything) == count
    assert candidate.store.status().entries == 0


def test_its_status_counts_entries_bytes_and_seconds(candidate: Candidate) -> None:
    assert candidate.store.status().entries == 0
    candidate.store.put(an_entry("a", bytes(1000), speech_s=10.0))
    candidate.store.put(an_entry("b", bytes(2000), speech_s=2.5))
    status = candidate.store.status()
    assert (status.level, status.working, status.trouble) == (candidate.level, True, "")
    assert (status.entries, status.speech_s) == (2, 12.5)
    assert 3000 <= status.size_bytes <= 3000 + 2 * ENTRY_OVERHEAD_BYTES


def damage(parcel: bytes, dice: random.Random) -> object:
    """What a value may have become: other bits, less of it, something else, somebody else's."""
    kind = dice.randrange(8)
    if kind <= 3:
        damaged = bytearray(parcel)
        for _ in range(dice.choice((1, 1, 2, 9))):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        return bytes(damaged)
    if kind == 4:
        return parcel[: dice.randrange(len(parcel))]
    if kind == 5:
        return parcel + dice.randbytes(dice.randrange(1, 9))
    return dice.choice((b"", b"a text", dice.randbytes(400), b"STRC" + dice.randbytes(90)))


def test_of_200_damaged_values_none_is_served_and_none_does_harm(candidate: Candidate) -> None:
    if candidate.overwrite is None:
        return  # nobody else writes into the memory of a process
    request = a_recognition_request()
    key, right = ContentAddresser().key(request), a_recognition("the right words")
    dice = random.Random(5)
    house = CacheHouse([(candidate.level, candidate.store)], clock=candidate.clock)
    parcel = codec.encode(right)
    entry = replace(an_entry(value=parcel), key=key)
    whole = parcel
    if candidate.level is CacheLevel.L2:
        whole = closed(entry, place_of(candidate.store._identity())[1])
    wrong = 0
    for _ in range(200):
        candidate.store.put(entry)
        overwrite_of(candidate, key.value)(damage(whole, dice))
        wrong += house.cache.find(request) not in (None, right)
        house.cache.keep(request, right)
        assert house.cache.find(request) == right
    assert wrong == 0


def overwrite_of(candidate: Candidate, key: str) -> Callable[[object], None]:
    if candidate.level is not CacheLevel.L2:
        assert candidate.overwrite is not None
        return candidate.overwrite
    store = candidate.store
    name = store._prefix + key

    def overwrite(value: object) -> None:
        store._client.set(name, value)

    return overwrite


def test_the_value_of_another_key_is_not_taken_for_the_right_one(shared_redis: RedisServer) -> None:
    for candidate in redis_candidate(shared_redis, FakeClock(NOW_S)):
        assert candidate.store.get(KEY) is None
        assert candidate.overwrite is not None
        secret = place_of(candidate.store._identity())[1]
        candidate.overwrite(closed(an_entry("another"), secret))
        assert candidate.store.get(KEY) is None
        candidate.overwrite(closed(an_entry(), secret))
        assert candidate.store.get(KEY) == an_entry()


def test_words_that_somebody_else_put_into_redis_are_not_served(shared_redis: RedisServer) -> None:
    """They know the names of all entries and what is in them, and not the database."""
    entry, forged = an_entry(), replace(an_entry(), value=b"other words")
    for candidate in redis_candidate(shared_redis, FakeClock(NOW_S)):
        assert candidate.overwrite is not None
        candidate.store.put(entry)
        prefix, secret = place_of(candidate.store._identity())
        written = shared_redis.run("GET", prefix + KEY.value)
        assert candidate.store._identity().encode() not in prefix.encode() + written
        head, label = written[: -len(entry.value)], closed(forged, b"a guess")
        for attempt in (head + forged.value, label, closed(forged, prefix.encode()[:64])):
            candidate.overwrite(attempt)
            assert candidate.store.get(KEY) is None
        candidate.overwrite(written)
        assert candidate.store.get(KEY) == entry
        assert entry_of(written, KEY, secret) == entry


def test_a_value_of_another_type_is_deleted(shared_redis: RedisServer) -> None:
    for candidate in redis_candidate(shared_redis, FakeClock(NOW_S)):
        assert candidate.store.get(KEY) is None
        assert candidate.overwrite is not None
        candidate.overwrite([b"a", b"list"])
        assert candidate.store.get(KEY) is None
        candidate.store.put(an_entry())
        assert candidate.store.get(KEY) == an_entry()


def test_entries_in_redis_have_a_lifetime_and_names_of_their_own(shared_redis: RedisServer) -> None:
    for candidate in redis_candidate(shared_redis, FakeClock(NOW_S)):
        candidate.store.put(an_entry(expires_at_s=NOW_S + 100))
        name = place_of(candidate.store._identity())[0] + KEY.value
        assert 95_000 < shared_redis.run("PTTL", name) <= 100_000


@pytest.mark.parametrize(
    "column", ["created_at", "expires_at", "epoch", "source", "engine", "speech_s", "value"]
)
def test_a_row_with_a_foreign_type_in_a_column_is_a_miss_and_gone(
    sqlite_template: Path, tmp_path: Path, column: str
) -> None:
    database = opened(copied(sqlite_template, tmp_path / "home"))
    store = SqlCacheStore(database, now=FakeClock(NOW_S))
    store.put(an_entry())
    with database.write() as connection:
        foreign = 7.5 if column == "engine" else "a text"
        connection.execute(f"UPDATE cache_entry SET {column} = :v", {"v": foreign})
    assert store.get(KEY) is None or column == "engine"
    assert store.most_used(10) is not None
    database.close()


def entries_left(store: SqlCacheStore, names: range) -> list[int]:
    return [number for number in names if store.get(a_key(str(number))) is not None]


def test_over_its_budget_the_database_drops_what_was_not_used_for_longest(
    database: Database,
) -> None:
    clock = FakeClock(NOW_S)
    cost = 1000 + ROW_OVERHEAD_BYTES
    store = SqlCacheStore(database, now=clock, maximum_bytes=10 * cost)
    for number in range(10):
        store.put(an_entry(str(number), bytes(1000)))
        clock.advance(1)
    SqlUseRecords(database).add({a_key("0"): 1, a_key("1"): 1}, [], at=clock())
    clock.advance(1)
    store.put(an_entry("10", bytes(1000)))
    left = entries_left(store, range(11))
    assert left == [0, 1, *range(11 - len(left) + 2, 11)]
    assert store.status().entries == len(left) == 9


def test_entries_are_ranked_by_their_use(database: Database) -> None:
    store = SqlCacheStore(database, now=FakeClock(NOW_S))
    for name in "abc":
        store.put(an_entry(name, source="file", engine="whisper", speech_s=3.0))
    records = SqlUseRecords(database)
    records.add({a_key("b"): 3, a_key("c"): 1}, [], at=Timestamp(NOW_S + 5))
    assert [(r.key, r.hits) for r in store.most_used(2)] == [(a_key("b"), 3), (a_key("c"), 1)]
    ranked = store.ranked(a_key("b"))
    assert ranked is not None
    assert (ranked.size_bytes, ranked.last_used_at.unix_s) == (5, NOW_S + 5)
    assert ranked.origin.source == FileHash(sha256_of("file"))
    assert store.ranked(a_key("nothing")) is None


def test_memory_never_holds_more_than_its_bytes_and_drops_what_was_used_least_recently() -> None:
    cost = 100 + ENTRY_OVERHEAD_BYTES
    level = MemoryCacheStore(3 * cost, now=FakeClock())
    level.put(an_entry("first", bytes(100)))
    for name in "abcde":
        level.put(an_entry(name, bytes(100)))
        assert level.get(a_key("first")) is not None
        assert level.size_bytes <= 3 * cost
    assert [level.get(a_key(n)) is None for n in "abcde"] == [True, True, True, False, False]


def test_memory_does_not_empty_itself_for_an_entry_that_never_fits() -> None:
    level = MemoryCacheStore(2000, now=FakeClock())
    level.put(an_entry("small"))
    level.put(an_entry("giant", bytes(5000)))
    assert level.get(a_key("small")) is not None
    assert level.get(a_key("giant")) is None
