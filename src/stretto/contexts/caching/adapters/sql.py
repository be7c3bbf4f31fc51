"""The lasting level: entries in a table, on the disk when ``put`` returns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeVar

from stretto.contexts.caching.model import FOREVER, TTL, CacheKey
from stretto.contexts.core.errors import Unavailable
from stretto.contexts.core.identifiers import FileHash, Timestamp

SECONDS_BETWEEN_TOUCHES: Final = 24 * 3600.0
"""A read costs a write at most this often; ``hits`` counts the days on which an entry was used."""

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


class Connection(Protocol):
    """SQL with ``:name`` where a value belongs, the same for both databases."""

    def execute(self, statement: str, values: Mapping[str, Any] = ..., /) -> Any: ...


class Database(Protocol):
    """Either of the two databases; ``transact`` may do its work again after a conflict."""

    def read(self) -> AbstractContextManager[Connection]: ...

    def transact(self, work: Callable[[Connection], Result], /) -> Result: ...


class SqlCacheStore:
    """Raises StorageFull or StorageUnavailable when the database is in trouble."""

    def __init__(self, database: Database, *, now: Callable[[], Timestamp]) -> None:
        self._database = database
        self._now = now

    def get(self, key: CacheKey) -> bytes | None:
        """A value that is no bytes was not written here; it is deleted."""
        now_s = self._now().unix_s
        with self._database.read() as connection:
            row = connection.execute(_GET, {"key": key.value}).fetchone()
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

    def put(
        self, key: CacheKey, value: bytes, *, ttl: TTL = FOREVER, source: FileHash | None = None
    ) -> None:
        now = self._now()
        expires_at = ttl.expires_at(now)
        row = {
            "key": key.value,
            "value": value,
            "size": len(value),
            "now": now.unix_s,
            "expires_at": expires_at.unix_s if expires_at else None,
            "source": source.value if source else "",
        }
        self._database.transact(lambda c: c.execute(_PUT, row))

    def delete(self, key: CacheKey) -> None:
        self._database.transact(lambda c: c.execute(_DELETE, {"key": key.value}))

    def delete_of(self, source: FileHash) -> int:
        """Delete the answers that the audio of that file gave. Returns how many."""
        which = {"source": source.value}
        return self._database.transact(lambda c: int(c.execute(_DELETE_OF, which).rowcount))

    def _touch(self, key: CacheKey, now_s: float) -> None:
        try:
            which = {"now": now_s, "key": key.value}
            self._database.transact(lambda c: c.execute(_TOUCH, which))
        except Unavailable as error:  # the answer is there all the same
            logger.debug("The use of a cache entry could not be recorded: %s", error)


_GET: Final = "SELECT value, last_used_at, expires_at FROM cache_entry WHERE key = :key"
_DELETE: Final = "DELETE FROM cache_entry WHERE key = :key"
_DELETE_OF: Final = "DELETE FROM cache_entry WHERE source = :source"
_TOUCH: Final = "UPDATE cache_entry SET last_used_at = :now, hits = hits + 1 WHERE key = :key"
_PUT: Final = """
    INSERT INTO cache_entry (key, value, size, created_at, last_used_at, expires_at, source)
    VALUES (:key, :value, :size, :now, :now, :expires_at, :source)
    ON CONFLICT (key) DO UPDATE SET
        value = excluded.value, size = excluded.size, created_at = excluded.created_at,
        last_used_at = excluded.last_used_at, expires_at = excluded.expires_at,
        source = excluded.source
"""
