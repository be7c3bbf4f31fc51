"""The optimizer: what it collects, what it says, and what it tries before it says so."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from stretto.contexts.core.errors import InvalidStatement, StorageUnavailable
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.advice import IndexDefinition, IndexTrial, Table
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.observations import CallSite, ObservedStatement
from stretto.contexts.database.optimizer import (
    MOST_ROWS_TO_TRY,
    MOST_SHAPES,
    MOST_TRIALS,
    QueryOptimizer,
)
from tests.fakes.advice import MemoryAdviceStore, MemoryCatalog, MemoryExplainer

SITE = CallSite(module="shop.orders", function="show", line=12)
TABLE = Table(name="transcript", columns=("id", "status"), rows=50_000)
QUESTION = "SELECT id FROM transcript WHERE status = 'partial'"


def optimizer(
    explainer: MemoryExplainer | None = None,
    *,
    table: Table = TABLE,
    store: MemoryAdviceStore | None = None,
) -> QueryOptimizer:
    explainer = explainer or MemoryExplainer()
    return QueryOptimizer(
        explainer=explainer,
        catalog=MemoryCatalog(explainer.dialect, tables=(table,)),
        store=store or MemoryAdviceStore(),
        now=lambda: Timestamp(1000.0),
        slow_ms=100,
    )


def observed(statement: str = QUESTION, *, duration_ms: float = 150.0) -> ObservedStatement:
    return ObservedStatement(
        unit=1,
        statement=statement,
        shape=statement.lower(),
        arguments=0,
        duration_ms=duration_ms,
        rows=1,
        site=SITE,
    )


def test_a_scan_is_named_with_the_index_that_was_tried_and_helped() -> None:
    explained = optimizer(MemoryExplainer(Dialect.POSTGRESQL)).explain(QUESTION + ";")
    assert [f.sentence for f in explained.findings] == [
        "Reads all 50,000 rows of transcript, one by one."
    ]
    assert [advice.create for advice in explained.advice] == [
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS transcript_status ON transcript (status)"
    ]
    assert explained.proof == (
        "Tried and undone: the cost of the plan falls from 1,000 to 10, 100 times less."
    )
    assert explained.trial is not None


def test_an_index_that_was_tried_and_not_used_is_not_advised() -> None:
    explainer = MemoryExplainer(helps=False)
    assert optimizer(explainer).explain(QUESTION).advice == ()
    assert [index.columns for index in explainer.trials] == [("status",)]


@pytest.mark.parametrize(("cost", "advised"), [(801.0, 0), (800.0, 1)])
def test_an_index_that_makes_little_difference_is_not_worth_its_writes(
    cost: float, advised: int
) -> None:
    class Dear(MemoryExplainer):
        def trial(self, statement: str, indexes: Sequence[IndexDefinition]) -> IndexTrial:
            trial = super().trial(statement, indexes)
            return replace(trial, after=replace(trial.after, cost=cost))

    assert len(optimizer(Dear(Dialect.POSTGRESQL)).explain(QUESTION).advice) == advised


def test_an_index_that_cannot_be_tried_is_advised_with_the_reason() -> None:
    class Busy(MemoryExplainer):
        def trial(self, statement: str, indexes: Sequence[IndexDefinition]) -> IndexTrial:
            raise StorageUnavailable("A table is in use by others.")

    explained = optimizer(Busy()).explain(QUESTION)
    assert [advice.definition.columns for advice in explained.advice] == [("status",)]
    assert explained.proof == "It was not tried. A table is in use by others."
    huge = Table(name="transcript", columns=("status",), rows=MOST_ROWS_TO_TRY + 1)
    explainer = MemoryExplainer(Dialect.POSTGRESQL)
    explained = optimizer(explainer, table=huge).explain(QUESTION)
    assert len(explained.advice) == 1
    assert "too many to build an index on trial" in explained.proof
    assert explainer.trials == []


def test_a_small_table_is_left_alone() -> None:
    small = Table(name="transcript", columns=("status",), rows=9_999)
    explainer = MemoryExplainer()
    explained = optimizer(explainer, table=small).explain(QUESTION)
    assert (explained.findings, explained.advice, explainer.trials) == ((), (), [])


def test_measuring_is_done_on_request_only() -> None:
    assert optimizer().explain(QUESTION).result is None
    result = optimizer().explain(QUESTION, measure=True).result
    assert result is not None
    assert result.rows == 3


@pytest.mark.parametrize("measure", [True, False])
def test_what_does_not_only_read_never_reaches_the_database(measure: bool) -> None:
    class Untouchable(MemoryExplainer):
        def plan(self, statement: str) -> object:  # type: ignore[override]
            raise AssertionError(statement)

        measure = plan  # type: ignore[assignment]

    with pytest.raises(InvalidStatement):
        optimizer(Untouchable()).explain("DELETE FROM transcript", measure=measure)


def test_slow_statements_add_up_by_shape_and_the_costliest_comes_first() -> None:
    watched = optimizer()
    for duration_ms in (99.9, 100.0, 300.0):
        watched.statement_ran(observed(duration_ms=duration_ms))
    watched.statement_ran(observed("SELECT 2", duration_ms=5000.0))
    (first, _), (second, explained) = watched.advise()
    assert first.statement == "SELECT 2"
    assert (second.count, second.total_ms, second.worst_ms) == (2, 400.0, 300.0)
    assert (second.site, second.last_seen_s) == ("shop.orders:show", 1000.0)
    assert explained is not None
    assert explained.advice[0].definition.name == "transcript_status"


def test_what_was_stored_before_and_what_is_seen_now_are_one() -> None:
    store = MemoryAdviceStore()
    for _ in range(2):
        process = optimizer(store=store)
        process.statement_ran(observed())
        process.flush()
        process.flush()
    ((slow, _),) = optimizer(store=store).advise()
    assert slow.count == 2


def test_what_cannot_be_explained_is_shown_without_a_plan() -> None:
    gone = "SELECT * FROM gone"
    watched = optimizer(MemoryExplainer(refused=[gone]))
    for statement in (gone, "VACUUM", "SELECT 1; SELECT 2", "SELECT 'open"):
        watched.statement_ran(observed(statement))
    assert [explained for _, explained in watched.advise()] == [None] * 4


def test_only_the_costliest_statements_are_worth_a_trial() -> None:
    explainer = MemoryExplainer()
    watched = optimizer(explainer)
    for number in range(MOST_TRIALS + 1):
        watched.statement_ran(observed(f"{QUESTION} AND id = {number}", duration_ms=1000 - number))
    explained = [explanation for _, explanation in watched.advise()]
    assert len(explainer.trials) == MOST_TRIALS
    assert [bool(one and one.trial) for one in explained] == [True] * MOST_TRIALS + [False]
    assert explained[-1] is not None
    assert explained[-1].proof == "It was not tried: only the 10 costliest statements are."


def test_memory_is_bounded() -> None:
    watched = optimizer()
    for number in range(MOST_SHAPES + 10):
        watched.statement_ran(observed(f"SELECT a{number}"))
    assert len(watched.advise()) == MOST_SHAPES


def test_a_store_in_trouble_costs_the_observations_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryAdviceStore()
    store.broken = True
    watched = optimizer(store=store)
    watched.statement_ran(observed())
    with caplog.at_level(logging.WARNING):
        watched.flush()
    assert "Slow statements were not remembered: The database is away." in caplog.text
