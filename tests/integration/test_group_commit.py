"""Many threads write at the same moment: in one transaction, and yet each for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from stretto.contexts.core.errors import JobNotInState, StorageFull, StorageUnavailable
from stretto.contexts.database.adapters.sqlite import SqliteDatabase

NUMBERS = "CREATE TABLE number (value INTEGER PRIMARY KEY)"


@pytest.fixture
def database(tmp_path):
    found = SqliteDatabase(tmp_path / "stretto.sqlite3")
    found.transact(lambda c: c.execute(NUMBERS))
    yield found
    found.close()


def insert(value: int) -> Callable[[Any], int]:
    def work(connection: Any) -> int:
        connection.execute("INSERT INTO number VALUES (:value)", {"value": value})
        return value

    return work


def numbers(database: SqliteDatabase) -> set[int]:
    with database.read() as connection:
        return {value for (value,) in connection.execute("SELECT value FROM number")}


def held_back(database: SqliteDatabase, works: list[Callable[[Any], Any]]) -> list[Any]:
    """What each gets whose works gather while somebody else writes: they become one group."""
    begun, go = threading.Event(), threading.Event()

    def first(_: Any) -> None:
        begun.set()
        assert go.wait(10)

    def outcome(work: Callable[[Any], Any]) -> Any:
        try:
            return database.together().transact(work)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(works) + 1) as pool:
        leader = pool.submit(database.together().transact, first)
        assert begun.wait(10)
        waiting = [pool.submit(outcome, work) for work in works]
        while len(database._line.waiting) < len(works):
            threading.Event().wait(0.001)
        go.set()
        leader.result(10)
        return [one.result(10) for one in waiting]


def test_those_who_gather_are_one_transaction_and_each_gets_its_answer(
    database: SqliteDatabase,
) -> None:
    threads = set()

    def noted(value: int) -> Callable[[Any], int]:
        def work(connection: Any) -> int:
            threads.add(threading.get_ident())
            assert connection.in_transaction
            return insert(value)(connection)

        return work

    answers = held_back(database, [noted(value) for value in range(20)])
    assert sorted(answers) == list(range(20))
    assert numbers(database) == set(range(20))
    assert len(threads) == 1, "one of them wrote for all"


def test_nobody_is_told_before_it_is_on_the_disk(database: SqliteDatabase) -> None:
    other = SqliteDatabase(database.path)

    def write(value: int) -> bool:
        database.together().transact(insert(value))
        return value in numbers(other)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, range(200)))
    other.close()


def test_who_raises_is_undone_and_the_others_are_not(database: SqliteDatabase) -> None:
    def refused(connection: Any) -> None:
        insert(100)(connection)
        raise JobNotInState("It is completed.")

    answers = held_back(database, [insert(1), refused, insert(2)])
    assert answers[0] == 1
    assert isinstance(answers[1], JobNotInState)
    assert answers[2] == 2
    assert numbers(database) == {1, 2}


def test_a_group_that_finds_the_disk_full_is_done_one_by_one(database: SqliteDatabase) -> None:
    def full(connection: Any) -> None:
        connection.execute("INSERT INTO number VALUES (99)")
        raise StorageFull

    answers = held_back(database, [insert(1), full, insert(2)])
    assert answers[0] == 1
    assert isinstance(answers[1], StorageFull)
    assert answers[2] == 2
    assert numbers(database) == {1, 2}


def test_trouble_with_the_database_reaches_everybody(database: SqliteDatabase) -> None:
    database.close()
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            database.together().transact(insert(1))


def test_inside_a_transaction_it_is_a_part_of_it(database: SqliteDatabase) -> None:
    with suppress(ZeroDivisionError), database.write():
        database.together().transact(insert(1))
        raise ZeroDivisionError
    assert numbers(database) == set()


def test_work_of_others_may_write_in_its_turn(database: SqliteDatabase) -> None:
    def nested(connection: Any) -> int:
        return database.together().transact(insert(7)) + database.transact(insert(8))

    assert held_back(database, [insert(1), nested]) == [1, 15]
    assert numbers(database) == {1, 7, 8}


def test_who_is_interrupted_leaves_the_others_to_the_next_one(database: SqliteDatabase) -> None:
    runs = []

    def interrupted(connection: Any) -> int:
        runs.append(1)
        if len(runs) == 1:
            raise KeyboardInterrupt
        return insert(5)(connection)

    begun = threading.Barrier(3)

    def call(work: Callable[[Any], Any]) -> Any:
        begun.wait(10)
        try:
            return database.together().transact(work)
        except KeyboardInterrupt:
            return "interrupted"

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(call, [insert(1), interrupted, insert(2)]))
    assert "interrupted" in found
    assert numbers(database) == {value for value in found if isinstance(value, int)}
