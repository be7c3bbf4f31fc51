"""In-memory twins of the ports of the database's advisers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from stretto.contexts.core.errors import InvalidStatement, StorageUnavailable
from stretto.contexts.database.advice import (
    Index,
    IndexDefinition,
    IndexStep,
    IndexTrial,
    Operation,
    PlanStep,
    QueryPlan,
    QueryResult,
    Table,
)
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.observations import (
    LearnedLoading,
    LoadingState,
    RepeatedStatement,
    SlowStatement,
)
from stretto.contexts.database.optimizer import added


class MemoryCatalog:
    """Tables and indexes in memory; ``repaired`` is what was carried out."""

    def __init__(
        self,
        dialect: Dialect = Dialect.SQLITE,
        *,
        tables: Sequence[Table] = (),
        indexes: Sequence[Index] = (),
    ) -> None:
        self.dialect = dialect
        self.known = tuple(tables)
        self.real = tuple(indexes)
        self.repaired: list[IndexStep] = []

    def tables(self, names: Collection[str]) -> tuple[Table, ...]:
        return tuple(table for table in self.known if table.name in names)

    def indexes(self) -> tuple[Index, ...]:
        return self.real

    def repair(self, steps: Sequence[IndexStep]) -> None:
        self.repaired += steps


class MemoryExplainer:
    """Scans the one table of every statement, unless an index is tried that ``helps``.

    ``used`` says which index answers which statement; ``refused`` ones are not understood.
    """

    def __init__(
        self,
        dialect: Dialect = Dialect.SQLITE,
        *,
        table: str = "transcript",
        helps: bool = True,
        used: Mapping[str, str] | None = None,
        refused: Collection[str] = (),
    ) -> None:
        self.dialect = dialect
        self._table = table
        self._helps = helps
        self._used = used or {}
        self._refused = refused
        self.trials: list[IndexDefinition] = []

    def plan(self, statement: str) -> QueryPlan:
        if statement in self._refused:
            raise InvalidStatement("The database does not understand that.")
        return self._plan(statement, self._used.get(statement, ""), cost=1000.0)

    def measure(self, statement: str) -> QueryResult:
        return QueryResult(plan=self.plan(statement), rows=3, duration_ms=1.5)

    def trial(self, statement: str, indexes: Sequence[IndexDefinition]) -> IndexTrial:
        self.trials += indexes
        after = self._plan(statement, indexes[0].name if self._helps else "", cost=10.0)
        return IndexTrial(before=self.plan(statement), after=after)

    def _plan(self, statement: str, index: str, *, cost: float) -> QueryPlan:
        operation = Operation.INDEX_SCAN if index else Operation.FULL_SCAN
        step = PlanStep(
            operation=operation, detail="", table=self._table, alias=self._table, index=index
        )
        shown = None if self.dialect is Dialect.SQLITE else cost
        return QueryPlan(dialect=self.dialect, statement=statement, steps=(step,), cost=shown)


class MemoryAdviceStore:
    """Remembers in memory; while ``broken`` nothing works."""

    def __init__(self) -> None:
        self.broken = False
        self._slow: dict[str, SlowStatement] = {}
        self._loadings: dict[str, LearnedLoading] = {}
        self._repeated: dict[tuple[str, str], RepeatedStatement] = {}

    def add(self, slow: Sequence[SlowStatement]) -> None:
        self._check()
        for one in slow:
            known = self._slow.get(one.shape)
            self._slow[one.shape] = added(known, one) if known else one

    def slow_statements(self) -> tuple[SlowStatement, ...]:
        self._check()
        return tuple(sorted(self._slow.values(), key=lambda one: -one.total_ms))

    def learn(
        self, loadings: Sequence[LearnedLoading], repeated: Sequence[RepeatedStatement]
    ) -> None:
        self._check()
        for one in loadings:
            known = self._loadings.get(one.id, one)
            worst = max(one.most_statements, known.most_statements)
            self._loadings[one.id] = replace(one, state=known.state, most_statements=worst)
        for other in repeated:
            before = self._repeated.get((other.site, other.shape), other)
            worst = max(before.most_statements, other.most_statements)
            self._repeated[other.site, other.shape] = replace(other, most_statements=worst)

    def loadings(self) -> tuple[LearnedLoading, ...]:
        self._check()
        return tuple(self._loadings.values())

    def repeated_statements(self) -> tuple[RepeatedStatement, ...]:
        self._check()
        return tuple(sorted(self._repeated.values(), key=lambda one: -one.most_statements))

    def set_state(self, loading_id: str, state: LoadingState) -> bool:
        self._check()
        known = self._loadings.get(loading_id)
        if known is not None:
            self._loadings[loading_id] = replace(known, state=state)
        return known is not None

    def _check(self) -> None:
        if self.broken:
            raise StorageUnavailable("The database is away.")
