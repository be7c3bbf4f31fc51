"""Keeps the hashes of the keys by which a server knows its callers."""

from __future__ import annotations

import hmac
from typing import Any, Final

from stretto.contexts.core.access import AccessKey, AccessKeyId, Scope, hash_of_secret
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.adapters.outbox import Database

_COLUMNS: Final = "id, sha256, owner, scopes, created_at, revoked_at"


class SqlAccessKeys:
    """All methods raise StorageUnavailable when the database is in trouble."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: AccessKey) -> None:
        row = {
            "id": str(key.id),
            "sha256": key.sha256,
            "owner": key.owner,
            "scopes": ",".join(sorted(key.scopes)),
            "created_at": key.created_at.unix_s,
            "revoked_at": None,
        }
        self._database.transact(lambda c: c.execute(_ADD, row))

    def of_secret(self, secret: str) -> AccessKey | None:
        """The key that ``secret`` is, unless it was revoked."""
        wanted = hash_of_secret(secret)
        with self._database.read() as connection:
            row = connection.execute(_OF_HASH, {"sha256": wanted}).fetchone()
        if row is None or not hmac.compare_digest(row[1], wanted):
            return None
        key = _key(row)
        return None if key.revoked_at else key

    def all(self) -> tuple[AccessKey, ...]:
        """The newest first, revoked ones too."""
        with self._database.read() as connection:
            rows = connection.execute(_ALL).fetchall()
        return tuple(_key(row) for row in rows)

    def any_valid(self) -> bool:
        with self._database.read() as connection:
            return connection.execute(_ANY).fetchone() is not None

    def revoke(self, key_id: AccessKeyId, *, at: Timestamp) -> bool:
        """Whether there was such a key that was valid until now."""
        values = {"id": str(key_id), "at": at.unix_s}
        return self._database.transact(lambda c: bool(c.execute(_REVOKE, values).rowcount == 1))


def _key(row: Any) -> AccessKey:
    key_id, sha256, owner, scopes, created_at, revoked_at = row
    return AccessKey(
        id=AccessKeyId.parse(key_id),
        sha256=sha256,
        owner=owner,
        scopes=frozenset(Scope(scope) for scope in scopes.split(",")),
        created_at=Timestamp(created_at),
        revoked_at=None if revoked_at is None else Timestamp(revoked_at),
    )


_ADD: Final = f"""
    INSERT INTO access_key ({_COLUMNS})
    VALUES (:id, :sha256, :owner, :scopes, :created_at, :revoked_at)
"""  # noqa: S608
_OF_HASH: Final = f"SELECT {_COLUMNS} FROM access_key WHERE sha256 = :sha256"  # noqa: S608
_ALL: Final = f"SELECT {_COLUMNS} FROM access_key ORDER BY created_at DESC, id"  # noqa: S608
_ANY: Final = "SELECT 1 FROM access_key WHERE revoked_at IS NULL LIMIT 1"
_REVOKE: Final = """
    UPDATE access_key SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL
"""
