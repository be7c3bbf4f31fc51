"""What processes agree on: invalidations, uses and leases, in a database and in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from stretto.contexts.caching.adapters.processes import mark
from stretto.contexts.caching.adapters.sql_records import (
    REMEMBERED_S,
    SqlInvalidationRecords,
    SqlLeases,
    SqlUseRecords,
)
from stretto.contexts.caching.model import CacheLevel, Selection, Use
from stretto.contexts.caching.ports import InvalidationRecords, Leases, UseRecords
from stretto.contexts.core.identifiers import FileHash, Timestamp
from tests.conftest import Place
from tests.fakes.caching import (
    MemoryInvalidationRecords,
    MemoryLeases,
    MemoryUseRecords,
    a_key,
)
from tests.fakes.clock import FakeClock
from tests.fakes.examples import sha256_of
from tests.servers import Database, opened

AT = Timestamp(1_000_000.0)
KEY = a_key("some key")


@dataclass
class Records:
    invalidations: InvalidationRecords
    uses: UseRecords
    leases: Leases
    clock: FakeClock


@pytest.fixture(params=["twin", "database"])
def records(request: pytest.FixtureRequest, database: Database) -> Records:
    clock = FakeClock()
    if request.param == "twin":
        return Records(MemoryInvalidationRecords(), MemoryUseRecords(), MemoryLeases(clock), clock)
    return Records(
        SqlInvalidationRecords(database),
        SqlUseRecords(database),
        SqlLeases(database, now=clock),
        clock,
    )


def test_invalidations_are_numbered_from_one_and_come_back_as_they_were(records: Records) -> None:
    list_ = records.invalidations
    identity, number = list_.newest()
    assert (bool(identity), number) == (True, 0)
    selections = [
        Selection(),
        Selection(source=FileHash(sha256_of("f"))),
        Selection(engine="whisper", model="base", tag="t", before=Timestamp(12.5)),
    ]
    made = [list_.add(selection, at=AT) for selection in selections]
    assert [one.number for one in made] == [1, 2, 3]
    assert list_.newest() == (identity, 3)
    assert list_.since(0) == tuple(made)
    assert list_.since(2) == (made[2],)
    assert list_.since(3) == ()


def test_invalidations_at_once_have_numbers_of_their_own(records: Records) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: records.invalidations.add(Selection(), at=AT), range(24)))
    assert sorted(one.number for one in made) == list(range(1, 25))


def test_an_invalidation_is_forgotten_when_nothing_older_is_left(database: Database) -> None:
    list_ = SqlInvalidationRecords(database)
    list_.add(Selection(), at=AT)
    list_.add(Selection(), at=Timestamp(AT.unix_s + REMEMBERED_S + 1))
    assert [one.number for one in list_.since(0)] == [2]


def test_uses_add_up(records: Records) -> None:
    one = Use(level=CacheLevel.L1, engine="whisper", count=2, speech_s=5.0)
    none = Use(level=None, engine="whisper", count=1)
    records.uses.add({KEY: 2}, [one, none], at=AT)
    records.uses.add({KEY: 1, a_key("gone"): 1}, [one], at=AT)
    assert set(records.uses.totals()) == {
        Use(level=CacheLevel.L1, engine="whisper", count=4, speech_s=10.0),
        none,
    }


def test_a_lease_is_held_by_one_until_it_is_over_or_released(records: Records) -> None:
    leases = records.leases
    assert leases.take(KEY, "one", seconds=4.0)
    assert not leases.take(KEY, "other", seconds=4.0)
    assert leases.take(a_key("other key"), "other", seconds=4.0)
    records.clock.advance(3.0)
    assert leases.take(KEY, "one", seconds=4.0)  # prolonged
    records.clock.advance(3.0)
    assert not leases.take(KEY, "other", seconds=4.0)
    records.clock.advance(1.0)
    assert leases.take(KEY, "other", seconds=4.0)
    leases.release(KEY, "one")
    assert not leases.take(KEY, "third", seconds=4.0)
    leases.release(KEY, "other")
    assert leases.take(KEY, "third", seconds=4.0)


def test_the_lease_of_a_process_that_died_is_over_at_once(database: Database) -> None:
    clock, dead = FakeClock(), {"boot:1:77:5"}
    theirs = SqlLeases(database, now=clock, mark=lambda: "boot:1:77:5")
    ours = SqlLeases(database, now=clock, is_dead=dead.__contains__)
    assert theirs.take(KEY, "one", seconds=4.0)
    assert ours.take(KEY, "other", seconds=4.0)
    assert not theirs.take(KEY, "one", seconds=4.0)
    theirs.release(KEY, "one")
    assert not ours.take(KEY, "third", seconds=4.0)


def test_the_lease_of_a_process_that_lives_or_runs_elsewhere_is_waited_for(
    database: Database,
) -> None:
    clock = FakeClock()
    for place, key in (("elsewhere:1:1:1", "a"), ("", "b"), (mark(), "c")):
        theirs = SqlLeases(database, now=clock, mark=lambda place=place: place)
        assert theirs.take(a_key(key), "one", seconds=4.0)
        assert not SqlLeases(database, now=clock).take(a_key(key), "other", seconds=4.0)


def test_of_many_who_want_a_lease_at_once_one_gets_it(records: Records) -> None:
    start = threading.Barrier(8)

    def take(number: int) -> bool:
        start.wait()
        return records.leases.take(KEY, str(number), seconds=4.0)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1


@pytest.fixture
def two(place: Place) -> Iterator[tuple[Database, Database]]:
    one, other = opened(place), opened(place)
    yield one, other
    one.close()
    other.close()


def test_all_processes_of_a_database_share_them(two: tuple[Database, Database]) -> None:
    one, other = map(SqlInvalidationRecords, two)
    made = one.add(Selection(tag="t"), at=AT)
    assert other.since(0) == (made,)
    assert one.newest() == other.newest()
