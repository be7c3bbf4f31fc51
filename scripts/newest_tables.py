"""Writes ``src/stretto/migrations/newest.sql``: what the revisions make of an empty SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from stretto.bootstrap import load_settings
from stretto.bootstrap.database import upgrade_database
from stretto.migrations import REVISIONS, newest

SHADOWS = "segment_words_%"
"""SQLite makes the tables behind a full-text index by itself."""


def newest_tables(file: Path) -> str:
    """The statements that make ``file``, which has the tables of all revisions and no rows."""
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL "
            "AND NOT (type = 'table' AND name LIKE ?) ORDER BY rowid",
            [SHADOWS],
        )
        statements = [sql for (sql,) in found]
    statements += [
        f"INSERT INTO alembic_version VALUES ('{REVISIONS[-1]}')",
        "INSERT INTO cache_state VALUES (lower(hex(randomblob(16))), 0)",
    ]
    return "".join(f"{_tidy(statement)};\n" for statement in statements)


def _tidy(statement: str) -> str:
    return "\n".join(line.expandtabs(4).rstrip() for line in statement.splitlines())


def main() -> None:
    with TemporaryDirectory() as home:
        settings = load_settings({"STRETTO_HOME": home})
        upgrade_database(settings)
        text = newest_tables(settings.database_path)
    (Path(newest.__file__).parent / newest.FILE).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
