"""Says in one sentence what is wrong when SQLAlchemy met trouble with either database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.database.adapters import postgresql_errors, sqlite_errors


def explained(error: DBAPIError, *, place: str) -> Exception:
    """The error of ours; ``error`` itself when it is a mistake in a statement of ours."""
    cause = error.orig
    if isinstance(cause, StrettoError):
        return cause
    if isinstance(cause, sqlite3.Error):
        return sqlite_errors.translate(cause, Path(place))
    return postgresql_errors.translate(error, place) or error
