"""The newest tables at once, for an empty SQLite file: a new library waits for no revision.

``newest.sql`` is what all revisions together make of an empty file. ``make tables`` writes it, and
a test holds it against them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib import resources
from typing import Final

FILE: Final = "newest.sql"


def create(connection: sqlite3.Connection) -> bool:
    """Make the newest tables, all or none; False, and nothing changed, where something is already.

    ``connection`` is in no transaction, and begins none by itself. Raises sqlite3.Error.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        (there,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not there:
            for statement in _statements():
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return not there


def _statements() -> Iterator[str]:
    statement = ""
    for line in resources.files(__package__).joinpath(FILE).read_text("utf-8").splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
