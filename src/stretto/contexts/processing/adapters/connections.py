"""What the adapters of processing need of a database, and of the outbox in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from stretto.contexts.core.events import DomainEvent

Result = TypeVar("Result")


class Rows(Protocol):
    """The answer to one statement."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> Sequence[Any]: ...


class Connection(Protocol):
    """SQL with ``:name`` where a value belongs, the same for both databases."""

    def execute(self, statement: str, values: Mapping[str, Any] = ..., /) -> Rows: ...

    def executemany(self, statement: str, rows: Sequence[Mapping[str, Any]], /) -> object: ...


class Database(Protocol):
    """Either of the two databases; ``dialect`` is sqlite or postgresql.

    ``transact`` does its work in a transaction, and again when another one was in its way: the
    work changes nothing but the database.
    """

    @property
    def dialect(self) -> str: ...

    def read(self) -> AbstractContextManager[Connection]: ...

    def transact(self, work: Callable[[Connection], Result], /) -> Result: ...


class Outbox(Protocol):
    """Where events go that have to survive a crash."""

    def append(self, connection: Connection, stream: str, /, *events: DomainEvent) -> None:
        """Write ``events`` in the transaction of ``connection``."""

    def forget(self, connection: Connection, stream: str, /) -> None:
        """Delete what was delivered of ``stream``."""
