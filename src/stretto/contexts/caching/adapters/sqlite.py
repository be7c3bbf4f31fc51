"""The lasting level: entries in a table, on the disk when ``put`` returns."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from stretto.contexts.caching.model import FOREVER, TTL, CacheKey
from stretto.contexts.core.errors import Unavailable
from stretto.contexts.core.identifiers import Timestamp

SECONDS_BETWEEN_TOUCHES: Final = 24 * 3600.0
"""A read costs a write at most this often; ``hits`` counts the days on which an entry was used."""

logger = logging.getLogger(__name__)


class Database(Protocol):
    """What this adapter needs of a SQLite database."""

    def read(self) -> AbstractContextManager[sqlite3.Connection]: ...

    def write(self) -> AbstractContextManager[sqlite3.Connection]: ...

    def ensure(self, name: str, *, version: int, statements: Sequence[str]) -> None: ...


class SqliteCacheStore:
    """Raises StorageFull or StorageUnavailable when the database is in trouble."""

    def __init__(self, database: Database, *, now: Callable[[], Timestamp]) -> None:
        self._database = database
        self._now = now

    def get(self, key: CacheKey) -> bytes | None:
        """A value that is no bytes was not written here; it is deleted."""
        self._ensure_tables()
        now_s = self._now().unix_s
        with self._database.read() as connection:
            row = connection.execute(_GET, (key.value,)).fetchone()
        if row is None:
            return None
        value, last_used_at, expires_at = row
        if not isinstance(value, bytes):
            self.delete(key)
            return None
        if expires_at is not None and now_s >= expires_at:
            return None
        if now_s - last_used_at >= SECONDS_BETWEEN_TOUCHES:
            self._touch(key, now_s)
        return value

    def put(self, key: CacheKey, value: bytes, *, ttl: TTL = FOREVER) -> None:
        self._ensure_tables()
        now = self._now()
        expires_at = ttl.expires_at(now)
        row = {
            "key": key.value,
            "value": value,
            "size": len(value),
            "now": now.unix_s,
            "expires_at": expires_at and expires_at.unix_s,
        }
        with self._database.write() as connection:
            connection.execute(_PUT, row)

    def delete(self, key: CacheKey) -> None:
        self._ensure_tables()
        with self._database.write() as connection:
            connection.execute("DELETE FROM cache_entry WHERE key = ?", (key.value,))

    def _touch(self, key: CacheKey, now_s: float) -> None:
        try:
            with self._database.write() as connection:
                connection.execute(_TOUCH, (now_s, key.value))
        except Unavailable as error:  # the answer is there all the same
            logger.debug("The use of a cache entry could not be recorded: %s", error)

    def _ensure_tables(self) -> None:
        self._database.ensure("cache", version=1, statements=_TABLES)


_TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS cache_entry (
        key TEXT NOT NULL PRIMARY KEY,
        size INTEGER NOT NULL,
        created_at REAL NOT NULL,
        last_used_at REAL NOT NULL,
        expires_at REAL,
        hits INTEGER NOT NULL DEFAULT 0,
        value BLOB NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS cache_entry_last_used_at ON cache_entry (last_used_at)",
)
_GET: Final = "SELECT value, last_used_at, expires_at FROM cache_entry WHERE key = ?"
_TOUCH: Final = "UPDATE cache_entry SET last_used_at = ?, hits = hits + 1 WHERE key = ?"
_PUT: Final = """
    INSERT INTO cache_entry (key, value, size, created_at, last_used_at, expires_at)
    VALUES (:key, :value, :size, :now, :now, :expires_at)
    ON CONFLICT (key) DO UPDATE SET
        value = excluded.value, size = excluded.size, created_at = excluded.created_at,
        last_used_at = excluded.last_used_at, expires_at = excluded.expires_at
"""
