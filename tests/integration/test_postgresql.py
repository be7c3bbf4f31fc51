"""A pool under a rush, a server that dies and comes back, and transactions on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa

from stretto.contexts.core.errors import (
    StorageBusy,
    StorageUnavailable,
    StrettoError,
)
from stretto.contexts.database.adapters.postgresql import PostgresDatabase
from stretto.contexts.database.model import ConnectionString
from tests.servers import Server, opened

ONE = "SELECT 1"


@pytest.fixture
def address(server: Server, postgres_template: str) -> Iterator[ConnectionString]:
    with server.database(template=postgres_template) as address:
        yield address


def pool_of(
    address: ConnectionString, *, maximum: int = 2, overflow: int = 0, minimum: int = 0
) -> PostgresDatabase:
    sizes = {"min": minimum, "max": maximum, "overflow": overflow}
    given = {f"database_pool_{name}": size for name, size in sizes.items()}
    database = opened(address, **given)
    assert isinstance(database, PostgresDatabase)
    return database


# -- the pool


def test_when_all_connections_are_in_use_the_next_caller_soon_hears_that(
    address: ConnectionString,
) -> None:
    database = pool_of(address, maximum=1)
    with database.read(), ThreadPoolExecutor(1) as threads:
        began = time.monotonic()
        busy = threads.submit(trouble_with_reading, database).result()
        assert time.monotonic() - began <= 2.0
    assert isinstance(busy, StorageBusy)
    assert busy.retryable
    assert "Try again" in busy.message
    metrics = database.pool.metrics()
    assert (metrics.in_use, metrics.refusals, metrics.size.limit) == (0, 1, 1)
    database.close()


def trouble_with_reading(database: PostgresDatabase) -> BaseException | None:
    try:
        with database.read() as connection:
            connection.execute(ONE)
    except StrettoError as error:
        return error
    return None


def test_a_rush_ends_in_answers_or_in_busy_and_leaks_nothing(
    address: ConnectionString, server: Server
) -> None:
    database = pool_of(address, maximum=4, overflow=1)

    def request(number: int) -> BaseException | None:
        try:
            with database.write() as connection:
                connection.execute("SELECT pg_sleep(0.005)")
                if number % 7 == 0:
                    raise KeyError(number)
        except (StorageBusy, KeyError) as error:
            return error
        return None

    with ThreadPoolExecutor(40) as threads:
        outcomes = list(threads.map(request, range(200)))
    assert all(
        outcome is None or isinstance(outcome, StorageBusy | KeyError) for outcome in outcomes
    )
    metrics = database.pool.metrics()
    assert metrics.in_use == 0
    assert metrics.idle <= 4
    assert metrics.longest_wait_s <= 2.0
    idle = server.run(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' "
        f"AND datname = '{address.database}'"
    )
    assert idle == [(0,)]
    database.close()


def test_the_minimum_is_opened_before_it_is_needed(address: ConnectionString) -> None:
    database = pool_of(address, maximum=4, minimum=3)
    with database.read():
        metrics = database.pool.metrics()
        assert metrics.in_use + metrics.idle == 3
    database.close()


def test_after_the_server_threw_everybody_out_the_next_call_works(
    address: ConnectionString, server: Server
) -> None:
    database = pool_of(address, maximum=3, minimum=3)
    with database.read() as connection:
        connection.execute(ONE)
    server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{address.database}'"
    )
    for _ in range(4):
        with database.write() as connection:
            assert connection.execute(ONE).fetchone() == (1,)
    assert database.pool.metrics().failures == 0
    database.close()


def test_a_connection_that_is_cut_in_the_middle_is_a_sentence_and_the_pool_heals(
    address: ConnectionString, server: Server
) -> None:
    database = pool_of(address)
    with (  # noqa: PT012
        pytest.raises(StorageUnavailable, match="Try again when it is up"),
        database.write() as connection,
    ):
        pid = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
        server.run(f"SELECT pg_terminate_backend({pid})")
        connection.execute(ONE)
    with database.read() as connection:
        assert connection.execute(ONE).fetchone() == (1,)
    assert database.pool.metrics().in_use == 0
    database.close()


def test_the_pool_survives_a_restart_of_the_server(
    address: ConnectionString, server: Server
) -> None:
    if server.folder is None:
        pytest.skip("a server that is not ours is not restarted")
    database = pool_of(address, maximum=3, minimum=3)
    with database.read() as connection:
        connection.execute(ONE)
    server.restart()
    with database.write() as connection:
        assert connection.execute(ONE).fetchone() == (1,)
    database.close()


# -- transactions


def test_a_block_that_raises_leaves_no_trace_and_nested_blocks_are_one(
    address: ConnectionString,
) -> None:
    database = pool_of(address)

    def write_twice_and_fail() -> None:
        with database.write() as outer:
            outer.execute(INSERT, {"name": "one"})
            with database.write() as inner:
                inner.execute(INSERT, {"name": "two"})
            with database.read() as seen:
                assert seen.execute(COUNT).fetchone() == (2,)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_twice_and_fail()
    with database.read() as connection:
        assert connection.execute(COUNT).fetchone() == (0,)
    database.close()


INSERT = "INSERT INTO outbox_lease (name, holder, until) VALUES (:name, 'me', 0)"
COUNT = "SELECT count(*) FROM outbox_lease"


def test_threads_write_at_once_and_nothing_is_lost(address: ConnectionString) -> None:
    database = pool_of(address, maximum=8)

    def write(number: int) -> None:
        with database.write() as connection:
            connection.execute(INSERT, {"name": str(number)})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(80)))
    with database.read() as connection:
        assert connection.execute(COUNT).fetchone() == (80,)
    database.close()


def test_a_mistake_in_our_own_statements_is_not_called_trouble(address: ConnectionString) -> None:
    database = pool_of(address)
    with pytest.raises(sa.exc.ProgrammingError), database.read() as connection:
        connection.execute("SELECT no_such_column FROM transcript")
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        connection.executemany(INSERT, [{"name": "a"}, {"name": "a"}])
    database.close()


def test_after_closing_use_is_refused(address: ConnectionString) -> None:
    database = pool_of(address)
    database.close()
    with pytest.raises(StorageUnavailable, match="closed"), database.read():
        pass


def test_a_lock_that_is_never_given_back_ends_in_busy(address: ConnectionString) -> None:
    database = pool_of(address)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with psycopg.connect(address.url.replace("+psycopg", "")) as other:
            other.execute("LOCK TABLE outbox_lease")
            holding.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(20)

    def write() -> None:
        with database.write() as connection:
            connection.execute("SET LOCAL lock_timeout = '50ms'")
            connection.execute(INSERT, {"name": "a"})

    with pytest.raises(StorageBusy, match="Try again"):
        write()
    done.set()
    thread.join()
    database.close()


def test_a_network_that_forgets_is_noticed_in_half_a_minute(address: ConnectionString) -> None:
    """What the system is told about the connection; what it makes of that is its own promise."""
    database = pool_of(address)
    with database.read() as connection:
        driver = connection._connection.connection.driver_connection
        told = driver.info.get_parameters()
    assert int(told["tcp_user_timeout"]) == 20_000
    idle, every, times = (int(told[f"keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert idle + every * times <= 30
    database.close()
