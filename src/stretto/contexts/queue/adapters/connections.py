"""What the adapters of the queue need of a database, of its clock, and of the outbox in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.queue.model import Moment

Result = TypeVar("Result")

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


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

    ``transact`` does its work in a transaction, and again when another one was in its way. Inside
    another transaction of the same thread it is a part of that one.
    """

    @property
    def dialect(self) -> str: ...

    def read(self) -> AbstractContextManager[Connection]: ...

    def transact(self, work: Callable[[Connection], Result], /) -> Result: ...

    def together(
        self, all_at_once: Callable[[Connection, Sequence[Any]], Sequence[Any]], /
    ) -> Together: ...


class Together(Protocol):
    """What several threads want at the same moment becomes one transaction, for which
    ``all_at_once`` is called with all of it."""

    def transact(self, work: Any, /) -> Any: ...


class Outbox(Protocol):
    """Where events go that have to survive a crash."""

    def append(self, connection: Connection, stream: str, /, *events: DomainEvent) -> None:
        """Write ``events`` in the transaction of ``connection``."""

    def append_all(
        self, connection: Connection, told: Sequence[tuple[str, DomainEvent]], /
    ) -> None:
        """The same for events of several streams."""

    def forget(self, connection: Connection, stream: str, /) -> None:
        """Delete what was delivered of ``stream``."""


class Clock(Protocol):
    """The one clock that all who use the database have in common."""

    def read(self, connection: Connection, /) -> Moment: ...


class ServerClock:
    """PostgreSQL's own: whatever the clocks of the workers say."""

    def read(self, connection: Connection, /) -> Moment:
        (now,) = connection.execute(_SERVER_CLOCK).fetchone()
        return Moment(Timestamp(float(now)), float(now))


class MachineClock:
    """For SQLite, whose users share a machine: leases by the time since it was started, sleep
    included, which nobody can set. A machine that has no such clock has the ordinary one."""

    def __init__(self) -> None:
        try:
            self._boot = BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            self._boot = ""

    def read(self, _: Connection, /) -> Moment:
        now = time.time()
        if not self._boot or not hasattr(time, "CLOCK_BOOTTIME"):
            return Moment(Timestamp(now), now)
        return Moment(Timestamp(now), time.clock_gettime(time.CLOCK_BOOTTIME), self._boot)


_SERVER_CLOCK: Final = "SELECT extract(epoch FROM clock_timestamp())"
