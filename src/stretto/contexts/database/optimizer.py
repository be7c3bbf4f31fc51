"""Says why a query is slow and which index would help, and remembers which ones were slow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from stretto.contexts.core.errors import InvalidStatement, StrettoError
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.ddl import create_index
from stretto.contexts.database.judging import candidate, helps, judge, proven, suspected
from stretto.contexts.database.model import (
    Dialect,
    Explanation,
    IndexAdvice,
    IndexDefinition,
    QueryPlan,
    Table,
)
from stretto.contexts.database.needs import Need, aliases, needs
from stretto.contexts.database.observations import ObservedStatement, SlowStatement
from stretto.contexts.database.ports import Catalog, Explainer, SlowStatementStore
from stretto.contexts.database.statements import explainable, reading_statement

LARGE_TABLE_ROWS: Final = 10_000
"""From here on a full scan is worth a sentence; below, it is often the best plan."""

MOST_ROWS_TO_TRY: Final = 5_000_000
"""On a larger table the trial of an index would keep its writers waiting for too long."""

MOST_SHAPES: Final = 500

logger = logging.getLogger(__name__)


class Clock(Protocol):
    def __call__(self) -> Timestamp: ...


class QueryOptimizer:
    """Explains statements on request, and collects those that take ``slow_ms`` or longer.

    Collecting is safe from many threads; nothing is stored before ``flush``.
    """

    def __init__(
        self,
        *,
        explainer: Explainer,
        catalog: Catalog,
        store: SlowStatementStore,
        now: Clock,
        slow_ms: float,
        large_rows: int = LARGE_TABLE_ROWS,
    ) -> None:
        self._explainer = explainer
        self._catalog = catalog
        self._store = store
        self._now = now
        self._slow_ms = slow_ms
        self._large_rows = large_rows
        self._slow: dict[str, SlowStatement] = {}
        self._guard = threading.Lock()

    def explain(self, sql: str, *, measure: bool = False) -> Explanation:
        """What a statement that somebody typed costs. It is run only for ``measure``.

        Raises InvalidStatement for anything but one statement that reads.
        """
        statement = reading_statement(sql, self._explainer.dialect)
        if not measure:
            return self._judged(self._explainer.plan(statement))
        result = self._explainer.measure(statement)
        return replace(self._judged(result.plan), result=result)

    def advise(self) -> tuple[tuple[SlowStatement, Explanation | None], ...]:
        """All slow statements that are remembered, the costliest first, and what would help.

        None stands for a statement that cannot be explained any more.
        """
        self.flush()
        return tuple((slow, self._explained(slow)) for slow in self._store.slow_statements())

    def statement_ran(self, observed: ObservedStatement) -> None:
        if observed.duration_ms < self._slow_ms:
            return
        seen = SlowStatement(
            shape=observed.shape,
            statement=observed.statement,
            site=observed.site.key,
            count=1,
            total_ms=observed.duration_ms,
            worst_ms=observed.duration_ms,
            rows=observed.rows,
            last_seen_s=self._now().unix_s,
        )
        with self._guard:
            known = self._slow.get(observed.shape)
            if known is not None:
                seen = added(known, seen)
            if known is not None or len(self._slow) < MOST_SHAPES:
                self._slow[observed.shape] = seen

    def flush(self) -> None:
        """Store what was collected. Trouble is logged and costs only the observations."""
        with self._guard:
            slow, self._slow = tuple(self._slow.values()), {}
        if not slow:
            return
        try:
            self._store.add(slow)
        except StrettoError as error:
            logger.warning("Slow statements were not remembered: %s", error)

    def _explained(self, slow: SlowStatement) -> Explanation | None:
        if not explainable(slow.statement, self._explainer.dialect):
            return None
        try:
            return self._judged(self._explainer.plan(slow.statement))
        except InvalidStatement as error:  # a table that is gone, say
            logger.info("A slow statement cannot be explained: %s", error)
            return None

    def _judged(self, plan: QueryPlan) -> Explanation:
        names = set(aliases(plan.statement, plan.dialect).values())
        names |= {step.table for step in plan.walk() if step.table}
        tables = {table.name: table for table in self._catalog.tables(names)}
        asked = needs(plan.statement, plan.dialect, tables)
        findings = tuple(judge(plan, tables, asked, large_rows=self._large_rows))
        suspects = suspected(plan, tables, large_rows=self._large_rows) if findings else ()
        advice = tuple(self._advice(plan, tables, asked, suspects)) if suspects else ()
        return Explanation(plan=plan, findings=findings, advice=advice)

    def _advice(
        self,
        plan: QueryPlan,
        tables: Mapping[str, Table],
        asked: Mapping[str, Need],
        suspects: Sequence[tuple[str, str]],
    ) -> Iterator[IndexAdvice]:
        existing = self._catalog.indexes()
        for alias, name in suspects:
            wanted = candidate(name, asked.get(alias, Need()), existing)
            if wanted is not None:
                tried = self._tried(plan.statement, wanted, tables[name])
                if tried is not None:
                    yield tried

    def _tried(self, statement: str, wanted: IndexDefinition, table: Table) -> IndexAdvice | None:
        """None for an index that the planner would not use."""
        create = create_index(wanted, concurrently=self._explainer.dialect is Dialect.POSTGRESQL)
        trial, why_not = None, ""
        if self._explainer.dialect is Dialect.POSTGRESQL and table.rows > MOST_ROWS_TO_TRY:
            why_not = f"{table.name} has {table.rows:,} rows, too many to build an index on trial"
        else:
            try:
                trial = self._explainer.trial(statement, wanted)
            except StrettoError as error:
                why_not = error.message.rstrip(".")
        if trial is not None and not helps(trial, wanted.name):
            return None
        sentence = f"It was not tried: {why_not}." if trial is None else proven(trial)
        return IndexAdvice(definition=wanted, create=create, sentence=sentence, trial=trial)


def added(one: SlowStatement, other: SlowStatement) -> SlowStatement:
    """Both together; the later one says where it was seen."""
    later = max(one, other, key=lambda slow: slow.last_seen_s)
    return replace(
        later,
        count=one.count + other.count,
        total_ms=one.total_ms + other.total_ms,
        worst_ms=max(one.worst_ms, other.worst_ms),
    )
