"""Wires the database of the settings: SQLite in the home folder, or a PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Union

from stretto.contexts.database.adapters.schema import SchemaGuard
from stretto.contexts.database.adapters.sqlite import SqliteDatabase
from stretto.contexts.database.model import Dialect, SchemaState
from stretto.migrations import REVISIONS, newest
from stretto.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from stretto.contexts.database.adapters.postgresql import PostgresDatabase
    from stretto.contexts.database.adapters.sqlite_watch import SlowRuns
    from stretto.contexts.database.pool import ConnectionPoolManager

Database = Union[SqliteDatabase, "PostgresDatabase"]


def build_database(
    settings: Settings,
    *,
    upgrading: bool = False,
    slow: SlowRuns | None = None,
    left_behind: Callable[[], object] = lambda: None,
) -> Database:
    """The database of ``settings``; nothing is opened before its first use.

    A SQLite file is brought up to date by then; a PostgreSQL only when it is ``upgrading``.
    ``slow`` notes the statements that took long; ``left_behind`` is called when the first use finds
    events in the outbox.
    """
    if settings.database_address is None:
        guard = build_guard(settings, upgrading=True, left_behind=left_behind)
        kind = slow.connection_class() if slow else sqlite3.Connection
        return SqliteDatabase(settings.database_path, prepare=guard, connection_class=kind)
    from stretto.contexts.database.adapters.postgresql import PostgresDatabase

    guard = build_guard(settings, upgrading=upgrading, left_behind=left_behind)
    return PostgresDatabase(
        build_pool(settings),
        place=place_of(settings),
        prepare=guard,
        observe=slow.heard if slow else None,
    )


def build_guard(
    settings: Settings, *, upgrading: bool, left_behind: Callable[[], object] = lambda: None
) -> SchemaGuard:
    """Looks at the tables before anything else does."""
    return SchemaGuard(
        revisions=REVISIONS,
        dialect=Dialect.POSTGRESQL if settings.database_address else Dialect.SQLITE,
        place=place_of(settings),
        upgrade=(lambda: upgrade_database(settings)) if upgrading else None,
        create=newest.create if settings.database_address is None else lambda _: False,
        left_behind=left_behind,
    )


def build_pool(settings: Settings) -> ConnectionPoolManager[sa.Connection]:
    """The connections to the PostgreSQL of ``settings``, and how they are used."""
    from stretto.contexts.database.adapters.postgresql import SqlAlchemyPool
    from stretto.contexts.database.pool import ConnectionPoolManager

    place, size = place_of(settings), settings.pool_size
    pool = SqlAlchemyPool(build_engine_of_database(settings), place=place)
    return ConnectionPoolManager(pool, size=size, place=place)


def build_engine_of_database(settings: Settings) -> sa.Engine:
    """The same database for those who work with SQLAlchemy; whoever asks for it disposes of it."""
    from stretto.contexts.database.adapters import engines

    if settings.database_address is None:
        return engines.sqlite_engine(SqliteDatabase(settings.database_path))
    return engines.postgres_engine(settings.database_address, size=settings.pool_size)


def upgrade_database(settings: Settings) -> None:
    """Bring the tables to the newest revision. Raises StorageFull and StorageUnavailable."""
    from sqlalchemy.exc import DBAPIError

    from stretto.contexts.database.adapters.explaining import explained
    from stretto.migrations import runner

    engine = build_engine_of_database(settings)
    try:
        runner.upgrade(engine)
    except DBAPIError as error:
        raise explained(error, place=place_of(settings)) from error
    finally:
        engine.dispose()


def upgrade(settings: Settings) -> str:
    """As ``upgrade_database``, unless a newer program made the tables. Returns the revision."""
    database = build_database(settings, upgrading=True)
    try:
        with database.read():
            return REVISIONS[-1]
    finally:
        database.close()


def look_at_database(settings: Settings) -> str:
    """What is there, in a line, without making or changing anything. Raises StrettoError."""
    place = place_of(settings)
    if settings.database_address is None and not settings.database_path.exists():
        return f"SQLite, {place} (made at the first use)"
    guard = build_guard(settings, upgrading=False)
    if settings.database_address is None:
        database: Database = SqliteDatabase(settings.database_path)
    else:
        database = build_database(settings)
    try:
        with database.read() as connection:
            revision = guard.recorded(connection) or "of version 0.1"
            if settings.database_address or guard.state(connection) is SchemaState.NEWER:
                guard(connection)
            pool = "" if isinstance(database, SqliteDatabase) else f", {_pool_of(database)}"
    finally:
        database.close()
    kind = "SQLite" if settings.database_address is None else "PostgreSQL"
    return f"{kind}, {place}, tables {revision}{pool}"


def _pool_of(database: PostgresDatabase) -> str:
    metrics = database.pool.metrics()
    return (
        f"{metrics.size.minimum} to {metrics.size.limit} connections, one lent after "
        f"{1000 * metrics.longest_wait_s:.0f} ms"
    )


def place_of(settings: Settings) -> str:
    """Where the database is, as it may be shown."""
    return str(settings.database_address or settings.database_path)
