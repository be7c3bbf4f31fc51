"""Says in one sentence what is wrong with a PostgreSQL, and what to do about it."""

from __future__ import annotations

from typing import Final

import sqlalchemy.exc as sa

from stretto.contexts.core.errors import StorageBusy, StorageFull, StorageUnavailable

_BUSY: Final = "was busy with something else for too long. Try again in a moment."
_AWAY: Final = "closed the connection. Try again when it is up."
_ADVICE: Final = (
    # by SQLSTATE, from the particular to the general
    ("57014", StorageBusy, "took longer than it may to answer. Try again in a moment."),
    ("55P03", StorageBusy, _BUSY),
    ("40", StorageBusy, _BUSY),
    ("53100", StorageFull, "has no room left on its disk. Free some space and run it again."),
    ("53300", StorageBusy, "has no free connection. Try again, or raise max_connections there."),
    ("53", StorageBusy, "is short of memory or other means. Try again in a moment."),
    ("28", StorageUnavailable, "refuses the user or password. Correct STRETTO_DATABASE_URL."),
    ("3D000", StorageUnavailable, "does not exist. Create it, or correct STRETTO_DATABASE_URL."),
    ("25006", StorageUnavailable, "is read-only. Name the primary server in STRETTO_DATABASE_URL."),
    ("42501", StorageUnavailable, "does not let this user in. Grant it the rights on the tables."),
    ("57P", StorageUnavailable, _AWAY),
    ("08", StorageUnavailable, _AWAY),
    ("XX", StorageUnavailable, "reports damaged data. Look into the server's log."),
    ("58", StorageUnavailable, "cannot read or write its disk. Look into the server's log."),
)
_CONFLICTS: Final = frozenset({"40001", "40P01"})
"""Serialisation failure and deadlock: the server undid all of the transaction, for sure."""

_WORDS: Final = (
    # what the client library says while connecting comes without a SQLSTATE
    ("password authentication failed", "28"),
    ("no password supplied", "28"),
    ("no pg_hba.conf entry", "28"),
    ("role ", "28"),
    ("does not exist", "3D000"),
    ("is not currently accepting connections", "57P"),
    ("too many clients", "53300"),
    ("remaining connection slots", "53300"),
    ("the database system is", "57P"),
)
_UNREACHABLE: Final = (
    "cannot be reached ({why}). Start the server, or correct STRETTO_DATABASE_URL."
)


def translate(error: sa.DBAPIError, place: str) -> StorageUnavailable | StorageFull | None:
    """The error of ours, or None for a mistake in a statement of ours."""
    cause = error.orig
    state = str(getattr(cause, "sqlstate", None) or "")
    text = str(cause)
    if not state and isinstance(error, sa.OperationalError):
        state = next((code for words, code in _WORDS if words in text), "")
        if not state:
            return _lost(error, text, place)
    for prefix, kind, advice in _ADVICE:
        if state.startswith(prefix):
            return kind(f"The database {place} {advice}")
    if error.connection_invalidated or isinstance(error, sa.OperationalError):
        return _lost(error, text, place)
    return None


def undone_by_conflict(error: StorageBusy) -> bool:
    """Whether the same transaction, begun anew, may well succeed."""
    cause = error.__cause__
    found = cause.orig if isinstance(cause, sa.DBAPIError) else None
    return getattr(found, "sqlstate", None) in _CONFLICTS


def _lost(error: sa.DBAPIError, text: str, place: str) -> StorageUnavailable:
    if error.connection_invalidated:
        return StorageUnavailable(f"The database {place} {_AWAY}")
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no answer"]
    # After the reason, libpq asks whether the server is running.
    told = [line for line in lines if "failed: " in line] or lines
    why = told[-1].rpartition("failed: ")[2][:160].rstrip(".")
    return StorageUnavailable(f"The database {place} {_UNREACHABLE.format(why=why)}")
