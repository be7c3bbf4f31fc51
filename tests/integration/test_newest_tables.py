"""A new library has its tables at once, and they are those of all revisions together."""

from __future__ import annotations

import os
import re
import runpy
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib import resources
from pathlib import Path
from threading import Barrier

import pytest

from stretto.bootstrap.database import upgrade_database
from stretto.migrations import newest
from stretto.settings import load_settings

SCRIPT = Path(__file__).parents[2] / "scripts" / "newest_tables.py"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as connection:
        yield connection


def names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]


def test_the_file_says_what_the_revisions_make(tmp_path: Path) -> None:
    settings = load_settings({"STRETTO_HOME": str(tmp_path)})
    upgrade_database(settings)
    written = resources.files("stretto.migrations").joinpath(newest.FILE).read_text("utf-8")
    made = runpy.run_path(str(SCRIPT))["newest_tables"](settings.database_path)
    assert written == made, "After a new revision: make tables"


NEW_LIBRARY = """
import sys
from stretto.bootstrap import build_database, load_settings
from stretto.migrations import REVISIONS

database = build_database(load_settings())
with database.read() as connection:
    (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert revision == REVISIONS[-1]
database.close()
print([name for name in ("alembic", "sqlalchemy") if name in sys.modules])
"""


def test_a_new_library_needs_nothing_that_carries_out_revisions(tmp_path: Path) -> None:
    environment = {**os.environ, "STRETTO_HOME": str(tmp_path)}
    command = [sys.executable, "-c", NEW_LIBRARY]
    assert subprocess.check_output(command, env=environment, text=True) == "[]\n"


def test_what_is_there_already_stays_as_it_is(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE mine (a)")
    assert not newest.create(connection)
    assert names(connection) == ["mine"]


def test_two_that_begin_at_once_make_the_tables_once(tmp_path: Path) -> None:
    begin = Barrier(2)

    def create() -> bool:
        with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as connection:
            begin.wait(30)
            return newest.create(connection)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(create) for _ in range(2)]
        assert sorted(one.result() for one in both) == [False, True]


def test_tables_that_could_not_all_be_made_are_not_there(connection: sqlite3.Connection) -> None:
    text = resources.files("stretto.migrations").joinpath(newest.FILE).read_text("utf-8")
    last = re.findall("CREATE INDEX (\\w+)", text)[-1]

    def refuse(action: int, name: str | None, *_: str | None) -> int:
        refused = action == sqlite3.SQLITE_CREATE_INDEX and name == last
        return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

    connection.set_authorizer(refuse)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        newest.create(connection)
    connection.set_authorizer(None)
    assert names(connection) == []
    assert newest.create(connection)
