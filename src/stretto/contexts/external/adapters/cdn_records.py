"""The list of assets in a table: what there is, what is to be done, and who is at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeVar

from stretto.contexts.core.identifiers import Sha256, Timestamp, TranscriptId
from stretto.contexts.external.cdn_model import (
    AssetKey,
    AssetKind,
    AssetState,
    CDNAsset,
    Totals,
    Wanted,
)

Result = TypeVar("Result")
END: Final = 1e300


class Connection(Protocol):
    """SQL with ``:name`` where a value belongs, the same for both databases."""

    def execute(self, statement: str, values: Mapping[str, Any] = ..., /) -> Any: ...


class Database(Protocol):
    """Either of the two databases; ``transact`` may do its work again after a conflict."""

    def read(self) -> AbstractContextManager[Any]: ...

    def transact(self, work: Callable[[Any], Result], /) -> Result: ...


class SqlAssets:
    """The ports AssetRecords, AssetList and AssetWork. All methods raise StorageFull or
    StorageUnavailable when the database is in trouble."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- which assets there are

    def add(self, assets: Sequence[CDNAsset]) -> None:
        def work(connection: Connection) -> None:
            for asset in sorted(assets, key=lambda one: one.key.value):
                row = _row(asset)
                connection.execute(_REPLACED, row)
                connection.execute(_ADD, row)

        self._database.transact(work)

    def of(self, transcript_id: TranscriptId) -> tuple[CDNAsset, ...]:
        with self._database.read() as connection:
            rows = connection.execute(_OF, {"transcript_id": str(transcript_id)}).fetchall()
        order = list(AssetKind)
        return tuple(sorted((_asset(*row) for row in rows), key=lambda a: order.index(a.kind)))

    def strike(self, transcript_id: TranscriptId) -> int:
        row = {"transcript_id": str(transcript_id)}
        return self._database.transact(lambda c: int(c.execute(_STRIKE, row).rowcount))

    def totals(self) -> tuple[Totals, ...]:
        with self._database.read() as connection:
            rows = connection.execute(_TOTALS).fetchall()
        return tuple(
            Totals(state=AssetState(state), assets=int(count), size_bytes=int(size))
            for state, count, size in rows
        )

    def page(self, *, limit: int, after: str = "") -> tuple[CDNAsset, ...]:
        with self._database.read() as connection:
            rows = connection.execute(_PAGE, {"after": after, "limit": limit}).fetchall()
        return tuple(_asset(*row) for row in rows)

    # -- what is to be done with them

    def claim(self, holder: str, *, wanted: Wanted) -> CDNAsset | None:
        one = wanted.transcript_id
        values = {
            "now": wanted.now.unix_s,
            "due": END if wanted.early else wanted.now.unix_s,
            "until": wanted.now.unix_s + wanted.seconds,
            "after": wanted.after,
            "holder": holder,
            **({"transcript_id": str(one)} if one else {}),
        }
        statement = _NEXT_OF_TRANSCRIPT if one else _NEXT

        def work(connection: Connection) -> CDNAsset | None:
            while (row := connection.execute(statement, values).fetchone()) is not None:
                # Between the two statements somebody may have been faster: then the next one.
                taken = connection.execute(_TAKE, {**values, "key": row[0]}).fetchone()
                if taken is not None:
                    return _asset(*taken)
                values["after"] = row[0]
            return None

        with self._database.read() as connection:  # mostly nothing waits, and that costs no write
            if connection.execute(statement, values).fetchone() is None:
                return None
        return self._database.transact(work)

    def renew(self, key: AssetKey, holder: str, *, now: Timestamp, seconds: float) -> bool:
        row = {"key": key.value, "holder": holder, "until": now.unix_s + seconds}
        return self._database.transact(lambda c: bool(c.execute(_RENEW, row).rowcount == 1))

    def settle(self, asset: CDNAsset, holder: str, *, due_at: Timestamp | None = None) -> None:
        row = {**_row(asset), "holder": holder, "due_at": due_at.unix_s if due_at else 0.0}
        purged = asset.state is AssetState.PURGING
        statement = _POSTPONE if due_at else _PURGED if purged else _STORED

        def work(connection: Connection) -> None:
            connection.execute(statement, row)
            connection.execute(_LET_GO, row)

        self._database.transact(work)

    def reopen(self, *, store: str, key: AssetKey | None = None) -> int:
        row = {"store": store, **({"key": key.value} if key else {})}
        statement = _REOPEN if key else _REOPEN_ELSEWHERE
        return self._database.transact(lambda c: int(c.execute(statement, row).rowcount))


def _row(asset: CDNAsset) -> dict[str, Any]:
    return {
        "key": asset.key.value,
        "transcript_id": str(asset.transcript_id),
        "kind": asset.kind.value,
        "sha256": asset.sha256.value,
        "size_bytes": asset.size_bytes,
        "content_type": asset.content_type,
        "name": asset.name.encode("utf-8", "replace").decode(),
        "created_at": asset.created_at.unix_s,
        "store": asset.store,
        "attempts": asset.attempts,
        "trouble": asset.trouble.encode("utf-8", "replace").decode().replace("\0", "\ufffd"),
    }


def _asset(
    key: str,
    transcript_id: str,
    kind: str,
    sha256: str,
    size_bytes: int,
    content_type: str,
    name: str,
    created_at: float,
    state: str,
    store: str,
    attempts: int,
    trouble: str,
) -> CDNAsset:
    return CDNAsset(
        key=AssetKey(key),
        transcript_id=TranscriptId.parse(transcript_id),
        kind=AssetKind(kind),
        sha256=Sha256(sha256),
        size_bytes=size_bytes,
        content_type=content_type,
        name=name,
        created_at=Timestamp(created_at),
        state=AssetState(state),
        store=store,
        attempts=attempts,
        trouble=trouble,
    )


# Put together of constants alone.
_COLUMNS: Final = (
    "key, transcript_id, kind, sha256, size_bytes, content_type, name, created_at, state, store, "
    "attempts, trouble"
)
_ADD: Final = """
    INSERT INTO cdn_asset (
        key, transcript_id, kind, sha256, size_bytes, content_type, name, created_at, state
    ) VALUES (
        :key, :transcript_id, :kind, :sha256, :size_bytes, :content_type, :name, :created_at,
        'pending'
    )
    ON CONFLICT (key) DO UPDATE SET
        kind = excluded.kind, content_type = excluded.content_type, name = excluded.name,
        state = 'pending', attempts = 0, trouble = '', due_at = 0
"""
_REPLACED: Final = """
    UPDATE cdn_asset SET state = 'purging', due_at = 0, attempts = 0, trouble = ''
    WHERE transcript_id = :transcript_id AND kind = :kind AND key <> :key
"""
_OF: Final = f"""
    SELECT {_COLUMNS} FROM cdn_asset WHERE transcript_id = :transcript_id AND state <> 'purging'
"""  # noqa: S608
_STRIKE: Final = """
    UPDATE cdn_asset SET state = 'purging', due_at = 0, attempts = 0, trouble = ''
    WHERE transcript_id = :transcript_id AND state <> 'purging'
"""
_TOTALS: Final = """
    SELECT state, count(*), sum(size_bytes) FROM cdn_asset GROUP BY state ORDER BY state
"""
_PAGE: Final = f"""
    SELECT {_COLUMNS} FROM cdn_asset WHERE key > :after ORDER BY key LIMIT :limit
"""  # noqa: S608
_NEXT: Final = """
    SELECT key FROM cdn_asset
    WHERE state <> 'stored' AND key > :after AND due_at <= :due AND held_until <= :now
    ORDER BY key LIMIT 1
"""
_NEXT_OF_TRANSCRIPT: Final = """
    SELECT key FROM cdn_asset
    WHERE transcript_id = :transcript_id AND state <> 'stored' AND key > :after
        AND due_at <= :due AND held_until <= :now
    ORDER BY key LIMIT 1
"""
_TAKE: Final = f"""
    UPDATE cdn_asset SET holder = :holder, held_until = :until
    WHERE key = :key AND state <> 'stored' AND held_until <= :now
    RETURNING {_COLUMNS}
"""  # noqa: S608
_RENEW: Final = """
    UPDATE cdn_asset SET held_until = :until
    WHERE key = :key AND holder = :holder AND state = 'pending'
"""
_STORED: Final = """
    UPDATE cdn_asset SET state = 'stored', store = :store, attempts = 0, trouble = ''
    WHERE key = :key AND holder = :holder AND state = 'pending'
"""
_PURGED: Final = """
    DELETE FROM cdn_asset WHERE key = :key AND holder = :holder AND state = 'purging'
"""
_POSTPONE: Final = """
    UPDATE cdn_asset SET attempts = :attempts, trouble = :trouble, due_at = :due_at
    WHERE key = :key AND holder = :holder
"""
_LET_GO: Final = """
    UPDATE cdn_asset SET holder = '', held_until = 0 WHERE key = :key AND holder = :holder
"""
_REOPEN: Final = """
    UPDATE cdn_asset SET state = 'pending', due_at = 0, attempts = 0, trouble = ''
    WHERE key = :key AND state = 'stored' AND store = :store
"""
_REOPEN_ELSEWHERE: Final = """
    UPDATE cdn_asset SET state = 'pending', due_at = 0, attempts = 0, trouble = ''
    WHERE state = 'stored' AND store <> :store
"""
