"""Carries out revisions, all of a run in one transaction: a run that is killed changed nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

FOLDER: Final = Path(__file__).parent
LOCK_WAIT_S: Final = 2
"""How long PostgreSQL waits for somebody who holds a table before the run ends unharmed."""

_ADVISORY_LOCK: Final = 0x5354_5245
"""Any number would do, as long as every Stretto takes the same."""


def upgrade(engine: sa.Engine, *, to: str = "head") -> None:
    """Bring the tables to ``to``. Two that do it at once take turns; the second has nothing to do.

    On SQLite the engine has to begin with BEGIN IMMEDIATE, as ``sqlite_engine`` does.
    """
    with engine.begin() as connection:
        _take_turns(connection)
        command.upgrade(_config(connection), to)


def downgrade(engine: sa.Engine, *, to: str) -> None:
    """Bring the tables back to ``to``, or to nothing with "base"."""
    with engine.begin() as connection:
        _take_turns(connection)
        command.downgrade(_config(connection), to)


def script() -> ScriptDirectory:
    """The revisions as alembic reads them."""
    return ScriptDirectory.from_config(_config(None))


def _take_turns(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'"))
        lock = sa.text("SELECT pg_advisory_xact_lock(:number)")
        connection.execute(lock, {"number": _ADVISORY_LOCK})


def _config(connection: sa.Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
