"""What the database context needs from outside: connections, and a pool that holds them; what its
advisers need from a database, and from whoever remembers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.model import Dialect, OutboxEvent

if TYPE_CHECKING:  # the nouns of advice are not for every start of the program
    from stretto.contexts.database.advice import (
        Index,
        IndexDefinition,
        IndexStep,
        IndexTrial,
        QueryPlan,
        QueryResult,
        Table,
    )
    from stretto.contexts.database.observations import (
        CallSite,
        LazyLoad,
        LearnedLoading,
        LoadingState,
        ObservedStatement,
        RepeatedStatement,
        SlowStatement,
    )

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
        Clocks may differ by ``seconds``; a right that outlasts that is no right."""

    def give_back(self, holder: str) -> None:
        """Whoever comes next may deliver, whatever its clock says."""

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


class Explainer(Protocol):
    """Asks a database how it would answer. Nothing is changed, and only ``measure`` runs anything.

    All methods raise InvalidStatement for what the database does not understand, and
    StorageUnavailable when it does not answer.
    """

    @property
    def dialect(self) -> Dialect: ...

    def plan(self, statement: str) -> QueryPlan:
        """Its parameters may have any value."""

    def measure(self, statement: str) -> QueryResult:
        """Run a statement that only reads, without parameters, in a transaction that only reads."""

    def trial(self, statement: str, indexes: Sequence[IndexDefinition]) -> IndexTrial:
        """The plan without and with ``indexes``, of which nothing remains."""


class Catalog(Protocol):
    """The tables and indexes that there really are. Raises StorageUnavailable."""

    @property
    def dialect(self) -> Dialect: ...

    def tables(self, names: Collection[str]) -> tuple[Table, ...]:
        """Those of ``names`` that exist."""

    def indexes(self) -> tuple[Index, ...]: ...

    def repair(self, steps: Sequence[IndexStep]) -> None:
        """Carry out ``steps`` in order, one process at a time."""


class SlowStatementStore(Protocol):
    """Remembers across processes which statements were slow. Raises StorageUnavailable."""

    def add(self, slow: Sequence[SlowStatement]) -> None:
        """To what is known: counts and times add up, the worst stays the worst."""

    def slow_statements(self) -> tuple[SlowStatement, ...]:
        """Those that cost most in all come first."""


class LoadingStore(Protocol):
    """Remembers across processes what was asked for row by row. Raises StorageUnavailable."""

    def learn(
        self, loadings: Sequence[LearnedLoading], repeated: Sequence[RepeatedStatement]
    ) -> None:
        """Add to what is known. A loading that is known keeps its state."""

    def loadings(self) -> tuple[LearnedLoading, ...]: ...

    def repeated_statements(self) -> tuple[RepeatedStatement, ...]: ...

    def set_state(self, loading_id: str, state: LoadingState) -> bool:
        """False when there is no such loading."""


class StatementListener(Protocol):
    """Hears of every statement that a watched engine ran. Must be quick and must not raise."""

    def statement_ran(self, observed: ObservedStatement) -> None: ...

    def unit_ended(self, unit: int) -> None: ...


class LoadingAdviser(Protocol):
    """Knows which relationships a query should load along, and learns of those that it did not."""

    def paths_for(self, site: CallSite) -> tuple[str, ...]: ...

    def lazy_loaded(self, load: LazyLoad) -> None: ...

    def unit_ended(self, unit: int) -> None: ...
