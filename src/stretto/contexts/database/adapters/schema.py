"""Compares the tables of a database with what this program knows, without loading alembic."""

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

    ``upgrade`` brings them there; without it, the user is told to. ``place`` names the database.
    """

    def __init__(
        self,
        *,
        revisions: Sequence[str],
        dialect: Dialect,
        place: str,
        upgrade: Callable[[], None] | None = None,
    ) -> None:
        self._revisions = revisions
        self._dialect = dialect
        self._place = place
        self._upgrade = upgrade

    def __call__(self, connection: Connection) -> None:
        """Raises StorageUnavailable when the tables are too old, missing, or too new."""
        state = self.state(connection)
        if state is SchemaState.CURRENT:
            return
        if state is SchemaState.NEWER:
            raise StorageUnavailable(
                f"The database {self._place} was made by a newer Stretto (its tables are of "
                f"revision {self.recorded(connection)}, this one knows up to "
                f"{self._revisions[-1]}). Upgrade Stretto or use another database."
            )
        if self._upgrade is None:
            found = "has no tables yet" if state is SchemaState.EMPTY else "is of an older Stretto"
            raise StorageUnavailable(f"The database {self._place} {found}. Run: stretto db upgrade")
        self._upgrade()

    def state(self, connection: Connection) -> SchemaState:
        return schema_state(self.recorded(connection), known=self._revisions)

    def recorded(self, connection: Connection) -> str | None:
        """The revision that the database names, or None before the first one."""
        if connection.execute(_HAS_REVISION[self._dialect]).fetchone()[0] is None:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


_HAS_REVISION: Final = {
    Dialect.SQLITE: "SELECT max(name) FROM sqlite_master WHERE name = 'alembic_version'",
    Dialect.POSTGRESQL: "SELECT to_regclass('alembic_version')::text",
}
