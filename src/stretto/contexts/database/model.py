"""The rules of keeping data that need no database to be stated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.events import DomainEvent


class JournalMode(StrEnum):
    """How SQLite makes a transaction whole: a write-ahead log, or a rollback journal."""

    WAL = "wal"
    TRUNCATE = "truncate"


def journal_mode(version: tuple[int, int, int]) -> JournalMode:
    """The mode that is safe with this release of SQLite, such as ``(3, 40, 1)``.

    Releases before 3.51.3 can corrupt a database when a checkpoint resets the write-ahead log
    while another connection writes ("WAL-reset bug"); the repair was carried back to 3.50.7 and
    3.44.6. Everywhere else the rollback journal is used: slower to commit, never wrong.
    """
    repaired = (
        version >= (3, 51, 3)
        or (3, 50, 7) <= version < (3, 51, 0)
        or (3, 44, 6) <= version < (3, 45, 0)
    )
    return JournalMode.WAL if repaired else JournalMode.TRUNCATE


class Dialect(StrEnum):
    """The databases that Stretto speaks with."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionString:
    """Where a PostgreSQL is and who one is there. Its ``str`` and ``repr`` never hold a password.

    ``options`` are the parameters after the question mark, such as ``("sslmode", "require")``.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: int | None = None
    database: str = ""
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str) -> ConnectionString:
        """Reads ``postgresql+psycopg://user:password@host:5432/database?sslmode=require``.

        ``postgresql://`` and ``postgres://`` mean the same. Raises InvalidOption with a sentence
        that repeats nothing of ``text`` but its scheme.
        """
        parts, port = _split_url(text)
        if parts.scheme not in _POSTGRES_SCHEMES:
            raise InvalidOption(
                f"STRETTO_DATABASE_URL has to begin with postgresql+psycopg://, not with "
                f"{parts.scheme[:32]!r}. Leave it empty for SQLite in the data folder."
            )
        options = tuple(parse_qsl(parts.query, keep_blank_values=True))
        database = unquote(parts.path.removeprefix("/"))
        if not database or "\0" in unquote(text):
            raise InvalidOption(
                "STRETTO_DATABASE_URL names no database. "
                "Write it as postgresql+psycopg://user:password@host:5432/database."
            )
        return cls(
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            host=unquote(parts.hostname or ""),
            port=port,
            database=database,
            options=options,
        )

    @property
    def url(self) -> str:
        """With the password in clear: for the driver alone, never for a person or a log."""
        return self._written(self.password, self.options)

    def __str__(self) -> str:
        hidden = tuple((k, MASK if k in _SECRET_OPTIONS else v) for k, v in self.options)
        return self._written(MASK if self.password else "", hidden)

    def _written(self, password: str, options: tuple[tuple[str, str], ...]) -> str:
        secret = f":{quote(password, safe='*')}" if password else ""
        who = f"{quote(self.user, safe='')}{secret}@" if self.user or password else ""
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        port = f":{self.port}" if self.port else ""
        query = "?" + urlencode(options, safe="*/") if options else ""
        return f"postgresql+psycopg://{who}{host}{port}/{quote(self.database, safe='')}{query}"


MASK: Final = "***"
_POSTGRES_SCHEMES: Final = frozenset({"postgresql+psycopg", "postgresql", "postgres"})
_SECRET_OPTIONS: Final = frozenset({"password", "sslpassword", "sslkey", "passfile"})


def _split_url(text: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as cause:
        raise InvalidOption(
            "STRETTO_DATABASE_URL cannot be read: its host or port is not well-formed. "
            "Write it as postgresql+psycopg://user:password@host:5432/database."
        ) from cause
    return parts, port


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """How many connections are held: ``minimum`` are opened at once, up to ``maximum`` stay open,
    and ``overflow`` more are opened in a rush and closed after it.

    Raises InvalidOption unless 0 <= minimum <= maximum, 1 <= maximum and 0 <= overflow.
    """

    minimum: int = 1
    maximum: int = 10
    overflow: int = 5

    def __post_init__(self) -> None:
        if not (0 <= self.minimum <= self.maximum and self.maximum >= 1 and self.overflow >= 0):
            raise InvalidOption(
                f"A pool holds at least as many connections at most as at least, and one or more: "
                f"minimum {self.minimum}, maximum {self.maximum}, overflow {self.overflow}."
            )

    @property
    def limit(self) -> int:
        return self.maximum + self.overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMetrics:
    """A pool at one moment, and what it went through since it was made; waits in seconds."""

    size: PoolSize
    in_use: int
    idle: int
    checkouts: int = 0
    refusals: int = 0
    failures: int = 0
    waited_s: float = 0.0
    longest_wait_s: float = 0.0


class SchemaState(StrEnum):
    """How the tables of a database stand to what this program knows."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


def schema_state(recorded: str | None, *, known: Sequence[str]) -> SchemaState:
    """``recorded`` is the revision that the database names; ``known`` runs from oldest to newest.

    A revision that nobody here has heard of was made by a newer program.
    """
    if recorded is None:
        return SchemaState.EMPTY
    if recorded not in known:
        return SchemaState.NEWER
    return SchemaState.CURRENT if recorded == known[-1] else SchemaState.OLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEvent:
    """A committed event on its way: ``stream`` is the job or transcript within which order counts.

    ``event`` is None when this program does not know its kind (a newer one wrote it).
    """

    number: int
    id: str
    stream: str
    kind: str
    event: DomainEvent | None
