"""Transactions that get in each other's way on PostgreSQL: done again, whole, and not for ever."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from stretto.contexts.core.errors import StorageBusy
from stretto.contexts.database.adapters.postgresql import PostgresConnection, PostgresDatabase
from stretto.contexts.database.model import ConnectionString
from tests.servers import Server, opened

INSERT = "INSERT INTO outbox_lease (name, holder, until) VALUES (:name, 'me', 0)"
COUNT = "SELECT count(*) FROM outbox_lease"
RAISED = "UPDATE outbox_lease SET until = until + 1 WHERE name = :name"
CONFLICTS = ["serialization_failure", "deadlock_detected"]


@pytest.fixture
def address(server: Server, postgres_template: str) -> Iterator[ConnectionString]:
    with server.database(template=postgres_template) as address:
        yield address


@pytest.fixture
def database(address: ConnectionString) -> Iterator[PostgresDatabase]:
    database = opened(address, database_pool_min=0, database_pool_max=4)
    assert isinstance(database, PostgresDatabase)
    yield database
    assert database.pool.metrics().in_use == 0
    database.close()


def conflict(connection: PostgresConnection, name: str) -> None:
    """The server itself ends the transaction as it would after a real one."""
    connection.execute(f"DO $$ BEGIN RAISE {name}; END $$")


def test_two_transactions_that_wait_for_each_other_both_succeed(database: PostgresDatabase) -> None:
    with database.write() as connection:
        connection.executemany(INSERT, [{"name": "a"}, {"name": "b"}])
    both_began = threading.Barrier(2)
    runs: list[str] = []

    def raise_both(first: str, second: str) -> None:
        def work(connection: PostgresConnection) -> None:
            connection.execute(RAISED, {"name": first})
            runs.append(first)
            if runs.count(first) == 1:
                both_began.wait(20)
            connection.execute(RAISED, {"name": second})

        database.transact(work)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(raise_both, "ab", "ba"))
    assert len(runs) == 3  # one of them was undone and done again
    with database.read() as connection:
        rows = connection.execute("SELECT until FROM outbox_lease").fetchall()
    assert [until for (until,) in rows] == [2.0, 2.0]


def test_a_transaction_that_cannot_be_serialised_is_done_again_with_what_is_true_now(
    database: PostgresDatabase, address: ConnectionString
) -> None:
    with database.write() as connection:
        connection.execute(INSERT, {"name": "a"})
    seen: list[object] = []

    def work(connection: PostgresConnection) -> None:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        seen.append(connection.execute("SELECT until FROM outbox_lease").fetchone())
        if len(seen) == 1:
            with psycopg.connect(address.url.replace("+psycopg", "")) as other:
                other.execute("UPDATE outbox_lease SET until = until + 1")
        connection.execute(RAISED, {"name": "a"})

    database.transact(work)
    assert seen == [(0.0,), (1.0,)]
    with database.read() as connection:
        assert connection.execute("SELECT until FROM outbox_lease").fetchone() == (2.0,)


@pytest.mark.parametrize("name", CONFLICTS)
def test_a_conflict_that_never_ends_is_busy_and_leaves_nothing(
    database: PostgresDatabase, name: str
) -> None:
    tries: list[int] = []

    def work(connection: PostgresConnection) -> None:
        tries.append(1)
        connection.execute(INSERT, {"name": "a"})
        conflict(connection, name)

    with pytest.raises(StorageBusy, match="Try again in a moment"):
        database.transact(work)
    assert len(tries) == 4
    with database.read() as connection:
        assert connection.execute(COUNT).fetchone() == (0,)


def test_a_part_of_a_transaction_is_not_done_again_alone(database: PostgresDatabase) -> None:
    parts: list[int] = []

    def part(connection: PostgresConnection) -> None:
        parts.append(len(parts))
        connection.execute(INSERT, {"name": "part"})
        if len(parts) == 1:
            conflict(connection, "deadlock_detected")

    def whole(connection: PostgresConnection) -> None:
        connection.execute(INSERT, {"name": "whole"})
        database.transact(part)

    database.transact(whole)
    assert len(parts) == 2
    with database.read() as connection:
        assert connection.execute(COUNT).fetchone() == (2,)


def test_trouble_that_is_no_conflict_is_not_done_again(database: PostgresDatabase) -> None:
    tries: list[int] = []

    def work(connection: PostgresConnection) -> None:
        tries.append(1)
        conflict(connection, "lock_not_available")

    with pytest.raises(StorageBusy):
        database.transact(work)
    assert len(tries) == 1


def test_sixteen_writers_in_each_others_way_count_right(database: PostgresDatabase) -> None:
    """Half of them want to be serialised, half lock two rows in whichever order: whoever was told
    that it is done is counted, and whoever was not was told to try again."""
    with database.write() as connection:
        connection.executemany(INSERT, [{"name": "a"}, {"name": "b"}])
    done = Counter[str]()
    told = threading.Lock()

    def write(number: int) -> None:
        names = "ab" if number % 2 else "ba"

        def work(connection: PostgresConnection) -> None:
            connection.execute("SET LOCAL deadlock_timeout = '20ms'")
            if number % 4 < 2:
                connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            for name in names:
                connection.execute(RAISED, {"name": name})

        for _ in range(4):
            try:
                database.transact(work)
            except StorageBusy:
                outcome = "busy"
            else:
                outcome = "done"
            with told:
                done[outcome] += 1

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(write, range(16)))
    assert done.total() == 64
    with database.read() as connection:
        rows = connection.execute("SELECT until FROM outbox_lease").fetchall()
    assert [until for (until,) in rows] == [done["done"]] * 2
    assert done["done"] > 8, done
