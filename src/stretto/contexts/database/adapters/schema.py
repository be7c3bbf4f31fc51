"""Looks at a database before its first use, without loading alembic: are its tables those that
this program knows, and did an earlier process leave events behind?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.database.model import Dialect, SchemaState, schema_state


class Connection(Protocol):
    """As much of a connection as one look needs."""

    def execute(self, statement: str, values: Mapping[str, Any] = ..., /) -> Any: ...


class SchemaGuard:
    """Lets a database be used when its tables are those of the newest of ``revisions``.

    ``upgrade`` brings them there; without it, the user is told to. ``create`` makes them at once
    where nothing is yet, and answers False elsewhere. ``place`` names the database.
    ``left_behind`` is called when events wait in the outbox; that is learned with the revision, so
    that a start costs no statement more.
    """

    def __init__(
        self,
        *,
        revisions: Sequence[str],
        dialect: Dialect,
        place: str,
        upgrade: Callable[[], None] | None = None,
        create: Callable[[Any], bool] = lambda _: False,
        left_behind: Callable[[], object] = lambda: None,
    ) -> None:
        self._revisions = revisions
        self._dialect = dialect
        self._place = place
        self._upgrade = upgrade
        self._create = create
        self._left_behind = left_behind

    def __call__(self, connection: Connection) -> None:
        """Raises StorageUnavailable when the tables are too old, missing, or too new."""
        recorded, waiting = self._look(connection)
        state = schema_state(recorded, known=self._revisions)
        if state is SchemaState.NEWER:
            raise StorageUnavailable(
                f"The database {self._place} was made by a newer Stretto (its tables are of "
                f"revision {recorded}, this one knows up to "
                f"{self._revisions[-1]}). Upgrade Stretto or use another database."
            )
        if waiting:
            self._left_behind()
        if state is SchemaState.CURRENT:
            return
        if self._upgrade is None:
            found = "has no tables yet" if state is SchemaState.EMPTY else "is of an older Stretto"
            raise StorageUnavailable(f"The database {self._place} {found}. Run: stretto db upgrade")
        if state is SchemaState.OLDER or not self._create(connection):
            self._upgrade()

    def state(self, connection: Connection) -> SchemaState:
        return schema_state(self.recorded(connection), known=self._revisions)

    def recorded(self, connection: Connection) -> str | None:
        """The revision that the database names, or None before the first one."""
        return self._look(connection)[0]

    def _look(self, connection: Connection) -> tuple[str | None, bool]:
        """The revision, and whether events wait."""
        has_revision, has_outbox = connection.execute(_TABLES[self._dialect]).fetchone()
        if not has_revision:
            return None, False
        row = connection.execute(_REVISION_AND_EVENTS if has_outbox else _REVISION).fetchone()
        return (str(row[0]), bool(row[1])) if row else (None, False)


_TABLES: Final = {
    Dialect.SQLITE: """
        SELECT max(name = 'alembic_version'), max(name = 'outbox_event') FROM sqlite_master
        WHERE name IN ('alembic_version', 'outbox_event')
    """,
    Dialect.POSTGRESQL: """
        SELECT to_regclass('alembic_version') IS NOT NULL, to_regclass('outbox_event') IS NOT NULL
    """,
}
_REVISION: Final = "SELECT version_num, 0 FROM alembic_version"
_REVISION_AND_EVENTS: Final = """
    SELECT version_num, EXISTS (SELECT 1 FROM outbox_event WHERE delivered_at IS NULL LIMIT 1)
    FROM alembic_version
"""
