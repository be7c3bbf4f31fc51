"""The rules of keeping data that need no database to be stated."""

from __future__ import annotations

from enum import StrEnum


class JournalMode(StrEnum):
    """How SQLite makes a transaction whole: a write-ahead log, or a rollback journal."""

    WAL = "wal"
    TRUNCATE = "truncate"


def journal_mode(version: tuple[int, int, int]) -> JournalMode:
    """The mode that is safe with this release of SQLite, such as ``(3, 40, 1)``.

    Releases before 3.51.3 can corrupt a database when a checkpoint resets the write-ahead log
    while another connection writes ("WAL-reset bug"); the repair was carried back to 3.50.7 and
    3.44.6. Everywhere else the rollback journal is used: slower to commit, never wrong.
    """
    repaired = (
        version >= (3, 51, 3)
        or (3, 50, 7) <= version < (3, 51, 0)
        or (3, 44, 6) <= version < (3, 45, 0)
    )
    return JournalMode.WAL if repaired else JournalMode.TRUNCATE
