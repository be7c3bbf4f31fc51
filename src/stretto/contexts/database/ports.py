"""What the database context needs from outside: connections, and a pool that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.model import OutboxEvent

Value = str | int | float | bytes | None
"""What stands in a column."""


class Rows(Protocol):
    """The answer to one statement."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Sequence[Value] | None: ...

    def fetchall(self) -> Sequence[Sequence[Value]]: ...


class DatabaseConnection(Protocol):
    """One conversation with a database: SQL with ``:name`` where a value belongs.

    The standard library's SQLite connection is one as it is.
    """

    def execute(self, statement: str, values: Mapping[str, Value] = ..., /) -> Rows: ...

    def executemany(self, statement: str, rows: Sequence[Mapping[str, Value]], /) -> object: ...


Held = TypeVar("Held")


class ConnectionPool(Protocol[Held]):
    """Open connections, lent and taken back. Safe to call from many threads at once."""

    def checkout(self) -> Held:
        """A connection that answered just now. Raises TimeoutError when none becomes free in
        time, and StorageUnavailable when the server cannot be reached."""

    def give_back(self, connection: Held) -> None:
        """What was not committed is undone. Never raises."""

    def counts(self) -> tuple[int, int]:
        """How many connections are lent, and how many lie idle."""

    def close(self) -> None:
        """Close what lies idle; what is lent is closed when it comes back."""


class Outbox(Protocol):
    """Committed events, in the order of their numbers."""

    def lease(self, holder: str, *, now: Timestamp, seconds: float) -> bool:
        """Whether ``holder`` alone may deliver for the next ``seconds``; False when nothing waits.
        Zero seconds give the right back."""

    def waiting(self, *, after: int, limit: int) -> tuple[OutboxEvent, ...]:
        """Undelivered events with numbers above ``after``."""

    def delivered(self, numbers: Sequence[int], *, now: Timestamp) -> None:
        """These need not be delivered again."""

    def prune(self, *, before: Timestamp) -> int:
        """Forget what was delivered before that moment; returns how many events that were."""


class Receipts(Protocol):
    """Who has heard of what."""

    def has(self, consumer: str, event_id: str) -> bool: ...

    def add(self, consumer: str, event_id: str, *, now: Timestamp) -> None: ...
