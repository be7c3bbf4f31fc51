"""Says in one sentence what is wrong with a database file, and what to do about it."""

from __future__ import annotations

import errno
import os.path
import sqlite3
from pathlib import Path
from typing import Final

from stretto.contexts.core.errors import StorageFull, StorageUnavailable

_OTHER_FOLDER: Final = "or set STRETTO_HOME to a folder that you can write to."

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "is in use by another process that did not let go. Try again.",
    sqlite3.SQLITE_LOCKED: "is in use by another process that did not let go. Try again.",
    sqlite3.SQLITE_CORRUPT: "is damaged. Move it away and run again: a new one is made.",
    sqlite3.SQLITE_NOTADB: "is no database. Move it away and run again: a new one is made.",
    sqlite3.SQLITE_READONLY: "cannot be written. Check its permissions, " + _OTHER_FOLDER,
    sqlite3.SQLITE_PERM: "cannot be written. Check its permissions, " + _OTHER_FOLDER,
    sqlite3.SQLITE_CANTOPEN: "cannot be opened. Check its permissions, " + _OTHER_FOLDER,
    sqlite3.SQLITE_IOERR: "cannot be read or written. Check the disk it lies on.",
}
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


def translate(error: sqlite3.Error | OSError, path: Path) -> StorageFull | StorageUnavailable:
    """The error of ours for trouble with the database at ``path``."""
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir it does not raise
        return StorageUnavailable(f"{path} is a folder, a database file is needed. Rename it.")
    if isinstance(error, OSError):
        return _file_error(error, path)
    extended: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if extended == sqlite3.SQLITE_READONLY_DBMOVED:
        return StorageUnavailable(f"The database {path} was moved or deleted. Start again.")
    if extended in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
        return _full(path)
    advice = _ADVICE.get(extended & 0xFF, "cannot be used.")  # the low byte is the primary code
    return StorageUnavailable(f"The database {path} {advice} ({error})")


def _file_error(error: OSError, path: Path) -> StorageFull | StorageUnavailable:
    if error.errno in _FULL:
        return _full(path)
    return StorageUnavailable(
        f"The database {path} cannot be made: {error.strerror}. "
        f"Check the folder's permissions, {_OTHER_FOLDER}"
    )


def _full(path: Path) -> StorageFull:
    return StorageFull(
        f"The disk that holds {path} is full. "
        "Free some space and run the same command again: finished work is kept."
    )
