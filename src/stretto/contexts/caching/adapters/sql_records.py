"""What all processes of a database know together: invalidations, how the cache is used, leases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from stretto.contexts.caching.adapters.connections import Connection, Database
from stretto.contexts.caching.adapters.processes import is_dead, mark
from stretto.contexts.caching.model import CacheKey, CacheLevel, Invalidation, Selection, Use
from stretto.contexts.core.identifiers import FileHash, Timestamp

REMEMBERED_S: Final = 31 * 24 * 3600.0
"""Longer than any level but the lasting one keeps an entry; that one deletes at once."""

ABANDONED_S: Final = 3600.0
"""So long after its end a lease that nobody took over is swept away."""


class SqlInvalidationRecords:
    """Numbers are given under the lock of one row, so that they are seen in their order."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> tuple[str, int]:
        with self._database.read() as connection:
            identity, number = connection.execute(_NEWEST).fetchone()
        return str(identity), int(number)

    def since(self, number: int) -> tuple[Invalidation, ...]:
        with self._database.read() as connection:
            rows = connection.execute(_SINCE, {"number": number}).fetchall()
        return tuple(_invalidation(*row) for row in rows)

    def add(self, selection: Selection, *, at: Timestamp) -> Invalidation:
        def added(connection: Connection) -> Invalidation:
            connection.execute(_COUNT)
            _, number = connection.execute(_NEWEST).fetchone()
            invalidation = Invalidation(number=number, at=at, selection=selection)
            connection.execute(_ADD, _row(invalidation))
            connection.execute(_FORGET, {"before": at.unix_s - REMEMBERED_S})
            return invalidation

        return self._database.transact(added)


def _row(invalidation: Invalidation) -> dict[str, Any]:
    selection = invalidation.selection
    return {
        "number": invalidation.number,
        "at": invalidation.at.unix_s,
        "source": selection.source.value if selection.source else "",
        "engine": selection.engine,
        "model": selection.model,
        "tag": selection.tag,
        "before": selection.before.unix_s if selection.before else None,
    }


def _invalidation(
    number: int, at: float, source: str, engine: str, model: str, tag: str, before: float | None
) -> Invalidation:
    selection = Selection(
        source=FileHash(source) if source else None,
        engine=engine,
        model=model,
        tag=tag,
        before=None if before is None else Timestamp(before),
    )
    return Invalidation(number=number, at=Timestamp(at), selection=selection)


class SqlUseRecords:
    """One transaction for many uses; rows are taken in order so that writers cannot interlock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, used: Mapping[CacheKey, int], uses: Sequence[Use], *, at: Timestamp) -> None:
        hits = [
            {"key": key.value, "count": used[key], "now": at.unix_s}
            for key in sorted(used, key=lambda key: key.value)
        ]
        rows = [
            {"level": u.level or "", "engine": u.engine, "count": u.count, "speech_s": u.speech_s}
            for u in sorted(uses, key=lambda u: (u.level or "", u.engine))
        ]

        def added(connection: Connection) -> None:
            connection.executemany(_USED, hits)
            connection.executemany(_ADD_USE, rows)

        self._database.transact(added)

    def totals(self) -> tuple[Use, ...]:
        with self._database.read() as connection:
            rows = connection.execute(_USES).fetchall()
        return tuple(
            Use(level=CacheLevel(level) if level else None, engine=e, count=c, speech_s=s)
            for level, e, c, s in rows
        )


class SqlLeases:
    """Leases as rows. Clocks that differ can make two hold one: an answer is computed twice.

    A holder is written with the ``mark`` of its process. A lease whose process ``is_dead`` is over
    at once: whoever starts the program again after a crash does not wait for it.
    """

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], Timestamp],
        mark: Callable[[], str] = mark,
        is_dead: Callable[[str], bool] = is_dead,
    ) -> None:
        self._database = database
        self._now = now
        self._mark = mark
        self._is_dead = is_dead
        self._swept = False

    def take(self, key: CacheKey, holder: str, *, seconds: float) -> bool:
        now_s = self._now().unix_s
        row: dict[str, object] = {"key": key.value, "holder": self._signed(holder)}
        row |= {"now": now_s, "until": now_s + seconds, "dead": ""}

        def taken(connection: Connection) -> bool:
            if not self._swept:
                connection.execute(_SWEEP, {"before": now_s - ABANDONED_S})
            if connection.execute(_TAKE, row).rowcount == 1:
                return True
            (other,) = connection.execute(_HOLDER, row).fetchone() or ("",)
            if not self._is_dead(other.partition(" ")[0]):
                return False
            return bool(connection.execute(_TAKE, {**row, "dead": other}).rowcount == 1)

        mine = self._database.transact(taken)
        self._swept = True
        return mine

    def release(self, key: CacheKey, holder: str) -> None:
        which = {"key": key.value, "holder": self._signed(holder)}
        self._database.transact(lambda c: c.execute(_RELEASE, which))

    def _signed(self, holder: str) -> str:
        return f"{self._mark()} {holder}"


_NEWEST: Final = "SELECT identity, invalidations FROM cache_state"
_COUNT: Final = "UPDATE cache_state SET invalidations = invalidations + 1"
_SINCE: Final = """
    SELECT number, at, source, engine, model, tag, made_before FROM cache_invalidation
    WHERE number > :number ORDER BY number
"""
_ADD: Final = """
    INSERT INTO cache_invalidation (number, at, source, engine, model, tag, made_before)
    VALUES (:number, :at, :source, :engine, :model, :tag, :before)
"""
_FORGET: Final = "DELETE FROM cache_invalidation WHERE at < :before"
_USED: Final = """
    UPDATE cache_entry SET last_used_at = :now, hits = hits + :count WHERE key = :key
"""
_ADD_USE: Final = """
    INSERT INTO cache_use (level, engine, count, speech_s)
    VALUES (:level, :engine, :count, :speech_s)
    ON CONFLICT (level, engine) DO UPDATE SET
        count = cache_use.count + excluded.count, speech_s = cache_use.speech_s + excluded.speech_s
"""
_USES: Final = "SELECT level, engine, count, speech_s FROM cache_use ORDER BY level, engine"
_SWEEP: Final = "DELETE FROM cache_lease WHERE until < :before"
_TAKE: Final = """
    INSERT INTO cache_lease (key, holder, until) VALUES (:key, :holder, :until)
    ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE cache_lease.until <= :now OR cache_lease.holder IN (excluded.holder, :dead)
"""
_HOLDER: Final = "SELECT holder FROM cache_lease WHERE key = :key"
_RELEASE: Final = "DELETE FROM cache_lease WHERE key = :key AND holder = :holder"
