"""Says why a query is slow and which index would help, and remembers which ones were slow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from stretto.contexts.core.errors import InvalidStatement, StrettoError
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.advice import (
    Explanation,
    IndexAdvice,
    IndexDefinition,
    QueryPlan,
    Table,
)
from stretto.contexts.database.ddl import create_index
from stretto.contexts.database.judging import candidates, helps, judge, proven, suspected
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.needs import Need, aliases, needs
from stretto.contexts.database.observations import ObservedStatement, SlowStatement
from stretto.contexts.database.ports import Catalog, Explainer, SlowStatementStore
from stretto.contexts.database.statements import explainable, reading_statement

LARGE_TABLE_ROWS: Final = 10_000
"""From here on a full scan is worth a sentence; below, it is often the best plan."""

MOST_ROWS_TO_TRY: Final = 5_000_000
"""On a larger table the trial of an index would keep its writers waiting for too long."""

MOST_ON_TRIAL: Final = 4
"""Indexes that are built for one trial."""

MOST_TRIALS: Final = 10
"""Trials for one page of advice: each of them may keep writers waiting."""

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
        return tuple(
            (slow, self._explained(slow, trial=number < MOST_TRIALS))
            for number, slow in enumerate(self._store.slow_statements())
        )

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

    def unit_ended(self, unit: int) -> None:
        """Slow is slow, whatever it belongs to."""

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

    def _explained(self, slow: SlowStatement, *, trial: bool) -> Explanation | None:
        if not explainable(slow.statement, self._explainer.dialect):
            return None
        try:
            return self._judged(self._explainer.plan(slow.statement), trial=trial)
        except InvalidStatement as error:  # a table that is gone, say
            logger.info("A slow statement cannot be explained: %s", error)
            return None

    def _judged(self, plan: QueryPlan, *, trial: bool = True) -> Explanation:
        names = set(aliases(plan.statement, plan.dialect).values())
        names |= {step.table for step in plan.walk() if step.table}
        tables = {table.name: table for table in self._catalog.tables(names)}
        asked = needs(plan.statement, plan.dialect, tables)
        findings = tuple(judge(plan, tables, asked, large_rows=self._large_rows))
        explanation = Explanation(plan=plan, findings=findings)
        suspects = suspected(plan, tables, large_rows=self._large_rows) if findings else ()
        wanted = self._wanted(asked, suspects) if suspects else ()
        if not wanted:
            return explanation
        if not trial:
            proof = f"It was not tried: only the {MOST_TRIALS} costliest statements are."
            return self._advised(explanation, wanted, proof=proof)
        return self._tried(explanation, wanted, tables)

    def _wanted(
        self, asked: Mapping[str, Need], suspects: Sequence[tuple[str, str]]
    ) -> tuple[IndexDefinition, ...]:
        existing = self._catalog.indexes()
        found = [
            index
            for alias, table in suspects
            for index in candidates(table, asked.get(alias, Need()), existing)
        ]
        by_name = {index.name: index for index in found}
        return tuple(by_name.values())[:MOST_ON_TRIAL]

    def _tried(
        self,
        explanation: Explanation,
        wanted: Sequence[IndexDefinition],
        tables: Mapping[str, Table],
    ) -> Explanation:
        """Advises those of ``wanted`` that the planner takes when it has them all."""
        huge = [i.table for i in wanted if tables[i.table].rows > MOST_ROWS_TO_TRY]
        if huge and self._explainer.dialect is Dialect.POSTGRESQL:
            rows = f"{tables[huge[0]].rows:,}"
            why_not = f"{huge[0]} has {rows} rows, too many to build an index on trial"
            return self._advised(explanation, wanted, proof=f"It was not tried: {why_not}.")
        try:
            trial = self._explainer.trial(explanation.plan.statement, wanted)
        except StrettoError as error:
            return self._advised(explanation, wanted, proof=f"It was not tried. {error.message}")
        taken = [index for index in wanted if trial.after.uses(index.name)]
        if not taken or not helps(trial):
            return explanation
        return replace(self._advised(explanation, taken, proof=proven(trial)), trial=trial)

    def _advised(
        self, explanation: Explanation, wanted: Sequence[IndexDefinition], *, proof: str
    ) -> Explanation:
        concurrently = self._explainer.dialect is Dialect.POSTGRESQL
        advice = tuple(
            IndexAdvice(definition=index, create=create_index(index, concurrently=concurrently))
            for index in wanted
        )
        return replace(explanation, advice=advice, proof=proof)


def added(one: SlowStatement, other: SlowStatement) -> SlowStatement:
    """Both together; the later one says where it was seen."""
    later = max(one, other, key=lambda slow: slow.last_seen_s)
    return replace(
        later,
        count=one.count + other.count,
        total_ms=one.total_ms + other.total_ms,
        worst_ms=max(one.worst_ms, other.worst_ms),
    )
