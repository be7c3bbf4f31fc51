"""Errors of the database as sentences of ours, for the commands that explain and advise."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from stretto.contexts.core.errors import InvalidStatement, StorageUnavailable

_NOT_UNDERSTOOD: Final = ("42", "22", "0A", "2F")
"""Classes of SQLSTATE: syntax and unknown names, bad values, features that do not exist."""

_SQLSTATES: Final = {
    "57014": "It took too long and was stopped. Try again when the database is less busy.",
    "55P03": "A table is in use by others. Try again when the database is less busy.",
    "42501": "The database user lacks the right to do that. Connect as the owner of the tables.",
}


@contextmanager
def translated(what: str) -> Generator[None, None, None]:
    """Raises InvalidStatement where the statement is at fault, else StorageUnavailable.

    ``what`` begins the sentence, as "The statement was not explained".
    """
    try:
        yield
    except DBAPIError as error:
        raise _ours(what, error.orig or error) from error
    except SQLAlchemyError as error:
        raise StorageUnavailable(f"{what}: {_first_line(error)}.") from error
    except Exception as error:  # a driver's own, where it is spoken to directly
        if not hasattr(error, "sqlstate") and not isinstance(error, sqlite3.Error):
            raise
        raise _ours(what, error) from error


def _ours(what: str, error: BaseException) -> InvalidStatement | StorageUnavailable:
    state = getattr(error, "sqlstate", None) or ""
    if state in _SQLSTATES:
        return StorageUnavailable(f"{what}. {_SQLSTATES[state]}")
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    misused = isinstance(error, sqlite3.ProgrammingError | sqlite3.Warning)
    if state.startswith(_NOT_UNDERSTOOD) or code == sqlite3.SQLITE_ERROR or misused:
        return InvalidStatement(f"The database does not understand that: {_first_line(error)}.")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StorageUnavailable(f"{what}. The database is in use by another process. Try again.")
    return StorageUnavailable(f"{what}: {_first_line(error)}.")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:200]
