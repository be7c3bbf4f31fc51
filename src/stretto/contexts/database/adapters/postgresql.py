"""One PostgreSQL: a pool of connections, short transactions, errors in sentences."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

import sqlalchemy as sa
import sqlalchemy.exc

from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.database.adapters.group_commit import (
    AllAtOnce,
    GroupCommit,
    Line,
    one_by_one,
)
from stretto.contexts.database.adapters.postgresql_errors import translate, undone_by_conflict
from stretto.contexts.database.model import Dialect, PoolMetrics
from stretto.contexts.database.ports import Rows, Value
from stretto.contexts.database.retrying import ConflictRetry

Result = TypeVar("Result")

OLDEST_SERVER: Final = (14,)
_PLACE: Final = re.compile(r"(?<![:\w]):(\w+)(?!:)")
"""``:name``, but neither ``::text`` nor ``12:30``."""


class Connections(Protocol):
    """Lends connections; the pool manager does."""

    def connection(self) -> AbstractContextManager[sa.Connection]: ...

    def metrics(self) -> PoolMetrics: ...

    def close(self) -> None: ...


class PostgresDatabase:
    """The database that ``pool`` leads to. Nothing is opened before the first use.

    The twin of SqliteDatabase: safe to use from many threads and processes at once. All methods
    raise StorageBusy when no connection is free, StorageFull and StorageUnavailable for the rest.
    ``observe`` hears of each statement and its seconds; they include fetching the rows, which
    psycopg does at once. ``retry`` says how often ``transact`` begins anew.
    """

    dialect: Final = Dialect.POSTGRESQL

    def __init__(
        self,
        pool: Connections,
        *,
        place: str,
        prepare: Callable[[PostgresConnection], None] | None = None,
        observe: Callable[[str, float], None] | None = None,
        retry: ConflictRetry | None = None,
    ) -> None:
        self.place = place
        self.pool = pool
        self._prepare = prepare
        self._observe = observe
        self._retry = retry or ConflictRetry()
        self._preparing = threading.Lock()
        self._local = threading.local()
        self._closed = False
        self._line = Line()

    @contextmanager
    def read(self) -> Generator[PostgresConnection, None, None]:
        """A connection to read from; each statement sees what was committed before it.

        Inside a ``write`` of the same thread it sees what that one wrote.
        """
        with self._translated():
            mine = self._writing()
            if mine is not None:
                yield mine
                return
            with self._connection() as connection:
                reading = connection.execution_options(isolation_level="AUTOCOMMIT")
                yield PostgresConnection(reading, self._observe)

    @contextmanager
    def write(self) -> Generator[PostgresConnection, None, None]:
        """A transaction: on the server's disk when the block ends, undone when the block raises.

        Inside another ``write`` of the same thread it is a part of that one.
        """
        with self._translated():
            mine = self._writing()
            if mine is not None:
                yield mine
                return
            with self._connection() as connection, connection.begin():
                self._local.writing = PostgresConnection(connection, self._observe)
                try:
                    yield self._local.writing
                finally:
                    self._local.writing = None

    def transact(self, work: Callable[[PostgresConnection], Result]) -> Result:
        """What ``work`` answers in a ``write``, which is done again when the server undid it.

        That happens to one of two transactions that wait for each other, and between those that
        are to be serialisable. So ``work`` may run several times and must change nothing but the
        database. Inside another ``write`` it runs once: that one is undone as a whole.
        """

        def once() -> Result:
            with self.write() as connection:
                return work(connection)

        if self._writing() is not None:
            return once()
        return self._retry.run(once, undone=undone_by_conflict)

    def together(self, all_at_once: AllAtOnce = one_by_one) -> GroupCommit:
        """For those whose ``transact`` goes along with that of other threads: the server is told
        once for all of them to begin, and to keep its promise."""
        return GroupCommit(self, self._line, all_at_once=all_at_once)

    @property
    def is_writing(self) -> bool:
        """Whether the calling thread is in a ``write``."""
        return self._writing() is not None

    def close(self) -> None:
        """Close all connections; later use is refused."""
        self._closed = True
        self.pool.close()

    def _writing(self) -> PostgresConnection | None:
        found: PostgresConnection | None = getattr(self._local, "writing", None)
        return found

    @contextmanager
    def _connection(self) -> Generator[sa.Connection, None, None]:
        if self._closed:
            raise StorageUnavailable(f"The database {self.place} was closed; open it again.")
        with self.pool.connection() as connection:
            self._make_ready(connection)
            yield connection

    def _make_ready(self, connection: sa.Connection) -> None:
        if self._prepare is None:
            return
        with self._preparing:
            if self._prepare is not None:
                self._refuse_old_servers(connection)
                with connection.begin() as looking:
                    self._prepare(PostgresConnection(connection))
                    looking.rollback()
                self._prepare = None

    def _refuse_old_servers(self, connection: sa.Connection) -> None:
        found: tuple[int, ...] = getattr(connection.dialect, "server_version_info", OLDEST_SERVER)
        if found < OLDEST_SERVER:
            raise StorageUnavailable(
                f"The database {self.place} is a PostgreSQL {'.'.join(map(str, found))}; "
                f"Stretto needs {OLDEST_SERVER[0]} or newer. Upgrade the server or use another one."
            )

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlalchemy.exc.DBAPIError as error:
            ours = translate(error, self.place)
            if ours is None:
                raise
            raise ours from error


class PostgresConnection:
    """Takes the same SQL, with ``:name`` for values, as the standard library does for SQLite.

    Transactions and trouble are SQLAlchemy's, statements the driver's own: what SQLAlchemy does for
    a statement takes as long as the server does.
    """

    __slots__ = ("_connection", "_driver", "_observe")

    def __init__(
        self, connection: sa.Connection, observe: Callable[[str, float], None] | None = None
    ) -> None:
        self._connection = connection
        self._driver: Any = connection.connection.driver_connection
        self._observe = observe

    def execute(self, statement: str, values: Mapping[str, Value] | None = None, /) -> Rows:
        with self._observed(statement):
            rows: Rows = self._driver.execute(_prepared(statement), values or {})
        return rows

    def executemany(self, statement: str, rows: Sequence[Mapping[str, Value]], /) -> None:
        if rows:
            with self._observed(statement), self._driver.cursor() as cursor:
                cursor.executemany(_prepared(statement), rows)

    @contextmanager
    def _observed(self, statement: str) -> Generator[None, None, None]:
        began = time.perf_counter()
        try:
            yield
        except self._connection.dialect.loaded_dbapi.Error as error:
            raise self._explained(statement, error) from error
        finally:
            if self._observe is not None:
                self._observe(statement, time.perf_counter() - began)

    def _explained(self, statement: str, error: Any) -> BaseException:
        """As SQLAlchemy says it; a connection that is gone does not go back into the pool."""
        dialect = self._connection.dialect
        gone = dialect.is_disconnect(error, self._driver, None)
        if gone:
            self._connection.invalidate(error)
        explained: BaseException = sqlalchemy.exc.DBAPIError.instance(
            statement,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=dialect,
        )
        return explained


class SqlAlchemyPool:
    """SQLAlchemy's queue of connections as the pool manager wants it."""

    def __init__(self, engine: sa.Engine, *, place: str) -> None:
        self._engine = engine
        self._place = place

    def checkout(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except sqlalchemy.exc.TimeoutError as cause:
            raise TimeoutError(str(cause)) from cause
        except sqlalchemy.exc.DBAPIError as cause:
            ours = translate(cause, self._place)
            if ours is None:
                raise
            raise ours from cause

    def give_back(self, connection: sa.Connection) -> None:
        connection.close()

    def counts(self) -> tuple[int, int]:
        pool = self._engine.pool
        assert isinstance(pool, sa.QueuePool)
        return pool.checkedout(), pool.checkedin()

    def close(self) -> None:
        self._engine.dispose()


@lru_cache(maxsize=512)
def _prepared(statement: str) -> str:
    """With the driver's places for values."""
    return _PLACE.sub(r"%(\1)s", statement.replace("%", "%%"))
