"""Makes SQLAlchemy engines with the guarantees of the house: for the pool and for migrations."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.database.adapters.sqlite import SqliteDatabase
from stretto.contexts.database.model import ConnectionString, PoolSize

CHECKOUT_TIMEOUT_S: Final = 1.2
"""How long a caller waits for a connection; with the way there and back less than 2 s."""

CONNECT_TIMEOUT_S: Final = 5
RECYCLE_S: Final = 1800
"""Connections older than that are opened anew: proxies and firewalls forget idle ones."""

SESSION: Final = {
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
}
"""What each session asks of the server, so that nothing of ours waits or locks for ever."""


FORGOTTEN: Final = {
    "tcp_user_timeout": "20000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
"""A network that loses everything and tells nobody (a cable, a firewall that forgot) is noticed
after 20 s (there in ms) when something is on its way, and after 25 s when an answer is waited for.
Linux itself would wait for a quarter of an hour, with every thread of a server in it."""


def postgres_engine(address: ConnectionString, *, size: PoolSize) -> sa.Engine:
    """Opens nothing yet. Raises InvalidOption when psycopg is not installed, or does not take a
    parameter of ``address``."""
    try:
        import psycopg  # noqa: F401 - SQLAlchemy loads it by name
    except ImportError as cause:
        raise InvalidOption(
            "PostgreSQL needs a package that is not installed. "
            "Install it with: pip install 'stretto[postgres]'"
        ) from cause
    session = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
    given = dict(address.options)
    _check_parameters(given)
    return sa.create_engine(
        sa.URL.create(
            "postgresql+psycopg",
            username=address.user or None,
            password=address.password or None,
            host=address.host or None,
            port=address.port,
            database=address.database,
            query=given,
        ),
        pool_size=size.maximum,
        max_overflow=size.overflow,
        pool_timeout=CHECKOUT_TIMEOUT_S,
        pool_recycle=RECYCLE_S,
        pool_pre_ping=True,
        pool_use_lifo=True,  # a rush is over sooner: what was opened for it stays idle
        hide_parameters=True,  # what people say is not for logs
        connect_args={
            "connect_timeout": int(given.get("connect_timeout", CONNECT_TIMEOUT_S)),
            "application_name": given.get("application_name", "stretto"),
            "options": f"{given.get('options', '')} {session}".strip(),
            **{name: given.get(name, usual) for name, usual in FORGOTTEN.items()},
        },
    )


def _check_parameters(given: dict[str, str]) -> None:
    """What PostgreSQL's own library says of them; it looks at most values when it connects."""
    from psycopg import Error
    from psycopg.conninfo import make_conninfo

    for name, value in given.items():
        try:
            make_conninfo("", **{name: value})
        except Error as cause:
            raise InvalidOption(
                f"STRETTO_DATABASE_URL has a parameter {name[:64]!r} after its question mark that "
                "PostgreSQL does not take. Correct it, or leave it away."
            ) from cause
    if not given.get("connect_timeout", "0").isdecimal():
        raise InvalidOption(
            "STRETTO_DATABASE_URL needs a whole number of seconds for connect_timeout."
        )


def sqlite_engine(database: SqliteDatabase) -> sa.Engine:
    """Connections of ``database``, none of them kept; every transaction is BEGIN IMMEDIATE."""
    engine = sa.create_engine(
        "sqlite://", creator=database.connect, poolclass=sa.NullPool, hide_parameters=True
    )

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
