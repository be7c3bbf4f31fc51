"""The lasting level: entries in a table, on the disk when ``put`` returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any, Final

from stretto.contexts.caching.adapters.connections import Connection, Database
from stretto.contexts.caching.adapters.origins import origin_of
from stretto.contexts.caching.model import (
    CacheEntry,
    CacheKey,
    CacheLevel,
    Invalidation,
    LevelStatus,
    RankedEntry,
)
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.identifiers import Timestamp

ENTRY_OVERHEAD_BYTES: Final = 500
"""What a row costs besides its value: the other columns and the indexes."""

IN_ONE_TRANSACTION: Final = 500
"""So many rows are deleted at once: a long transaction would keep all others from writing."""

LOOK_AGAIN_AFTER: Final = 100
"""The size is looked at again when this fraction of the budget was written: a hundredth."""

ROOM: Final = 0.9
"""What is over the budget is brought down to this part of it, so that there is some peace then."""


class SqlCacheStore:
    """Raises StorageFull or StorageUnavailable when the database is in trouble.

    Over ``maximum_bytes`` the entries that were not used for longest go; None is no limit. How an
    entry is used is written down by ``SqlUseRecords``.
    """

    def __init__(
        self, database: Database, *, now: Callable[[], Timestamp], maximum_bytes: int | None = None
    ) -> None:
        self._database = database
        self._now = now
        self._maximum_bytes = maximum_bytes
        self._written_bytes: int | None = None  # since the size was looked at; None: never yet
        self._lock = Lock()

    def get(self, key: CacheKey) -> CacheEntry | None:
        """A row that was not written here is deleted."""
        with self._database.read() as connection:
            row = connection.execute(_GET, {"key": key.value}).fetchone()
        if row is None:
            return None
        entry = _entry(key, row)
        if entry is None:
            self.delete(key)
            return None
        if entry.expires_at is not None and entry.expired(self._now()):
            return None
        return entry

    def put(self, entry: CacheEntry) -> None:
        row = _row(entry, self._now())
        self._database.transact(lambda c: c.execute(_PUT, row))
        if self._size_is_due(len(entry.value) + ENTRY_OVERHEAD_BYTES):
            self.trim()

    def delete(self, key: CacheKey) -> None:
        self._database.transact(lambda c: c.execute(_DELETE, {"key": key.value}))

    def delete_struck(self, invalidation: Invalidation) -> int:
        statement, values = _struck(invalidation)
        return self._in_parts(lambda c: _delete_selected(c, statement, values))

    def trim(self) -> int:
        """Bring the entries under the budget. Returns how many had to go."""
        if self._maximum_bytes is None:
            return 0
        excess = self._size_bytes() - self._maximum_bytes
        if excess <= 0:
            return 0
        excess += round(self._maximum_bytes * (1 - ROOM))
        removed = 0
        while excess > 0:
            count, size = self._database.transact(partial(_delete_least_used, excess))
            if not count:
                break
            removed += count
            excess -= size
        return removed

    def most_used(self, limit: int) -> Sequence[RankedEntry]:
        with self._database.read() as connection:
            rows = connection.execute(_MOST_USED, {"limit": limit}).fetchall()
        return [ranked for row in rows if (ranked := _ranked(row)) is not None]

    def ranked(self, key: CacheKey) -> RankedEntry | None:
        with self._database.read() as connection:
            row = connection.execute(_RANKED, {"key": key.value}).fetchone()
        return _ranked(row) if row else None

    def status(self) -> LevelStatus:
        limit = f", at most {self._maximum_bytes / 1e6:g} MB" if self._maximum_bytes else ""
        place = f"the database{limit}"
        try:
            with self._database.read() as connection:
                count, size, speech_s = connection.execute(_TOTALS).fetchone()
        except StrettoError as error:
            return LevelStatus(
                level=CacheLevel.L3, working=False, place=place, trouble=error.message
            )
        return LevelStatus(
            level=CacheLevel.L3,
            working=True,
            place=place,
            entries=int(count),
            size_bytes=int(size),
            speech_s=float(speech_s),
        )

    def _size_bytes(self) -> int:
        with self._database.read() as connection:
            count, size, _ = connection.execute(_TOTALS).fetchone()
        return int(size) + int(count) * ENTRY_OVERHEAD_BYTES

    def _size_is_due(self, written_bytes: int) -> bool:
        if self._maximum_bytes is None:
            return False
        with self._lock:
            first = self._written_bytes is None
            self._written_bytes = (self._written_bytes or 0) + written_bytes
            due = first or self._written_bytes * LOOK_AGAIN_AFTER >= self._maximum_bytes
            if due:
                self._written_bytes = 0
            return due

    def _in_parts(self, delete: Callable[[Connection], int]) -> int:
        removed = 0
        while True:
            part = self._database.transact(delete)
            removed += part
            if part < IN_ONE_TRANSACTION:
                return removed


def _delete_least_used(excess: int, connection: Connection) -> tuple[int, int]:
    """Some of the entries that were not used for longest, up to ``excess`` bytes: how many they
    were, and their size."""
    rows = connection.execute(_LEAST_USED, {"limit": IN_ONE_TRANSACTION}).fetchall()
    going = _up_to(excess, rows)
    connection.executemany(_DELETE, [{"key": key} for key, _ in going])
    return len(going), sum(size + ENTRY_OVERHEAD_BYTES for _, size in going)


def _delete_selected(connection: Connection, statement: str, values: Mapping[str, Any]) -> int:
    rows = connection.execute(statement, values).fetchall()
    connection.executemany(_DELETE, [{"key": key} for (key,) in rows])
    return len(rows)


def _struck(invalidation: Invalidation) -> tuple[str, dict[str, Any]]:
    """Made of fixed parts alone; whatever was given is a value."""
    selection = invalidation.selection
    given: dict[str, Any] = {
        "source": selection.source.value if selection.source else None,
        "engine": selection.engine or None,
        "model": selection.model or None,
        "tag": selection.tag or None,
        "before": selection.before.unix_s if selection.before else None,
    }
    values = {name: value for name, value in given.items() if value is not None}
    conditions = "".join(f" AND {_CONDITIONS[name]}" for name in values)
    limits = {"number": invalidation.number, "limit": IN_ONE_TRANSACTION}
    return _STRUCK.format(conditions=conditions), values | limits


def _up_to(excess: int, rows: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    going = []
    for key, size in rows:
        if excess <= 0:
            break
        going.append((key, size))
        excess -= size + ENTRY_OVERHEAD_BYTES
    return going


def _row(entry: CacheEntry, now: Timestamp) -> dict[str, Any]:
    origin = entry.origin
    return {
        "key": entry.key.value,
        "value": entry.value,
        "size": len(entry.value),
        "created_at": entry.created_at.unix_s,
        "now": now.unix_s,
        "expires_at": entry.expires_at.unix_s if entry.expires_at else None,
        "epoch": entry.epoch,
        "source": origin.source.value if origin.source else "",
        "engine": origin.engine,
        "model": origin.model,
        "grain": origin.grain,
        "scope": origin.scope,
        "tag": origin.tag,
        "speech_s": entry.speech_s,
    }


def _entry(key: CacheKey, row: Sequence[Any]) -> CacheEntry | None:
    value, created_at, expires_at, epoch, speech_s, *origin = row
    if type(value) is not bytes or type(epoch) is not int:
        return None
    try:
        return CacheEntry(
            key=key,
            value=value,
            created_at=Timestamp(created_at + 0.0),
            expires_at=None if expires_at is None else Timestamp(expires_at + 0.0),
            epoch=epoch,
            speech_s=speech_s + 0.0,
            origin=origin_of(*origin),
        )
    except (TypeError, ValueError, StrettoError):  # a column holds what nobody here writes
        return None


def _ranked(row: Sequence[Any]) -> RankedEntry | None:
    key, size, hits, created_at, last_used_at, speech_s, *origin = row
    try:
        return RankedEntry(
            key=CacheKey(key),
            size_bytes=size,
            hits=hits,
            created_at=Timestamp(created_at + 0.0),
            last_used_at=Timestamp(last_used_at + 0.0),
            speech_s=speech_s + 0.0,
            origin=origin_of(*origin),
        )
    except (TypeError, ValueError, StrettoError):
        return None


_ORIGIN: Final = "speech_s, source, engine, model, grain, scope, tag"
# Put together of constants alone.
_GET: Final = f"""
    SELECT value, created_at, expires_at, epoch, {_ORIGIN} FROM cache_entry WHERE key = :key
"""  # noqa: S608
_DELETE: Final = "DELETE FROM cache_entry WHERE key = :key"
_STRUCK: Final = "SELECT key FROM cache_entry WHERE epoch < :number{conditions} LIMIT :limit"
_CONDITIONS: Final = {
    "source": "source = :source",
    "engine": "engine IN ('', :engine)",
    "model": "model IN ('', :model)",
    "tag": "tag = :tag AND tag <> ''",
    "before": "created_at < :before",
}
_LEAST_USED: Final = "SELECT key, size FROM cache_entry ORDER BY last_used_at LIMIT :limit"
_MOST_USED: Final = f"""
    SELECT key, size, hits, created_at, last_used_at, {_ORIGIN} FROM cache_entry
    ORDER BY hits DESC, last_used_at DESC LIMIT :limit
"""  # noqa: S608
_RANKED: Final = f"""
    SELECT key, size, hits, created_at, last_used_at, {_ORIGIN} FROM cache_entry WHERE key = :key
"""  # noqa: S608
_TOTALS: Final = """
    SELECT count(*), coalesce(sum(size), 0), coalesce(sum(speech_s), 0) FROM cache_entry
"""
_PUT: Final = """
    INSERT INTO cache_entry (
        key, value, size, created_at, last_used_at, expires_at, epoch,
        source, engine, model, grain, scope, tag, speech_s
    ) VALUES (
        :key, :value, :size, :created_at, :now, :expires_at, :epoch,
        :source, :engine, :model, :grain, :scope, :tag, :speech_s
    )
    ON CONFLICT (key) DO UPDATE SET
        value = excluded.value, size = excluded.size, created_at = excluded.created_at,
        last_used_at = excluded.last_used_at, expires_at = excluded.expires_at,
        epoch = excluded.epoch, source = excluded.source, engine = excluded.engine,
        model = excluded.model, grain = excluded.grain, scope = excluded.scope,
        tag = excluded.tag, speech_s = excluded.speech_s
"""
