"""Plans of both databases, read and judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stretto.contexts.database.adapters import explain_postgresql, explain_sqlite
from stretto.contexts.database.advice import FindingKind, Operation, PlanStep, QueryPlan, Table
from stretto.contexts.database.judging import judge, suspected
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.needs import Need
from tests.unit.database import plans

LARGE = {
    name: Table(name=name, columns=("id",), rows=50_000)
    for name in ("transcript", "segment", "bare")
}
WORK_MEMORY = 4 * 1024 * 1024


def of_postgresql(document: dict[str, Any], work_memory: int = WORK_MEMORY) -> QueryPlan:
    return explain_postgresql.read_plan("SELECT 1", document, work_memory_bytes=work_memory)


def sentences(plan: QueryPlan, **needs: Need) -> list[tuple[FindingKind, str]]:
    return [(f.kind, f.sentence) for f in judge(plan, LARGE, needs, large_rows=10_000)]


def test_the_steps_of_sqlite_are_told_apart() -> None:
    plan = explain_sqlite.read_plan(plans.JOINED, plans.SQLITE_JOINED)
    assert [(s.operation, s.table, s.alias, s.index) for s in plan.walk()] == [
        (Operation.INDEX_WALK, "transcript", "t", "transcript_created_at"),
        (Operation.OTHER, "", "", ""),
        (Operation.AUTOMATIC_INDEX, "bare", "s", ""),
        (Operation.SORT, "", "", ""),
    ]
    older = explain_sqlite.read_plan("SELECT * FROM transcript AS t", plans.SQLITE_OLDER)
    assert [(s.operation, s.table) for s in older.walk()] == [(Operation.FULL_SCAN, "transcript")]


def test_what_is_no_table_is_no_scan() -> None:
    plan = explain_sqlite.read_plan("SELECT 1", plans.SQLITE_SEARCHES)
    assert [(s.operation, s.index) for s in plan.walk()] == [
        (Operation.INDEX_SCAN, ""),
        (Operation.INDEX_SCAN, "segment_place"),
        (Operation.OTHER, ""),
        (Operation.OTHER, ""),
    ]


def test_the_steps_of_a_subquery_lie_below_it() -> None:
    plan = explain_sqlite.read_plan("SELECT 1 FROM transcript", plans.SQLITE_SUBQUERY)
    routine, outer = plan.steps
    assert [s.operation for s in routine.children] == [Operation.FULL_SCAN, Operation.SORT]
    assert outer.children == ()


def test_sqlite_is_found_building_indexes_and_walking_through_them() -> None:
    plan = explain_sqlite.read_plan(plans.JOINED, plans.SQLITE_JOINED)
    assert sentences(plan, t=Need(equal=["status", "language"])) == [
        (
            FindingKind.FULL_SCAN,
            "Goes through transcript_created_at, which has 50,000 entries, until it has found "
            "enough rows of transcript with the right status and language.",
        ),
        (
            FindingKind.AUTOMATIC_INDEX,
            "Builds an index over all 50,000 rows of bare for this one query, and throws it away.",
        ),
        (
            FindingKind.EXTERNAL_SORT,
            "Sorts what it reads of transcript (50,000 rows) in a temporary tree, "
            "which goes to disk when it outgrows the cache.",
        ),
    ]


def test_walking_through_an_index_for_its_order_alone_is_right() -> None:
    plan = explain_sqlite.read_plan(plans.JOINED, plans.SQLITE_JOINED[:1])
    assert sentences(plan) == []


def test_the_steps_of_postgresql_have_costs_and_rows() -> None:
    plan = of_postgresql(plans.TOP_20)
    assert plan.cost == 1614.11
    limit, sort, scan = plan.walk()
    assert limit.operation is Operation.OTHER
    assert (sort.operation, sort.sort_bytes, sort.on_disk) == (Operation.SORT, 20 * 148, False)
    assert (scan.operation, scan.table, scan.rows) == (Operation.FULL_SCAN, "transcript", 1017)
    assert scan.detail == "Seq Scan on transcript filter (status = 'partial'::text)"


def test_a_full_scan_is_named_with_the_rows_of_its_table() -> None:
    expected = (FindingKind.FULL_SCAN, "Reads all 50,000 rows of transcript, one by one.")
    assert sentences(of_postgresql(plans.TOP_20)) == [expected]


def test_a_small_or_unknown_table_may_be_read_as_a_whole() -> None:
    plan = of_postgresql(plans.TOP_20)
    small = {"transcript": replace(LARGE["transcript"], rows=9_999)}
    assert list(judge(plan, small, {}, large_rows=10_000)) == []
    assert list(judge(plan, {}, {}, large_rows=10_000)) == []
    assert suspected(plan, small, large_rows=10_000) == ()
    assert suspected(plan, LARGE, large_rows=10_000) == (("transcript", "transcript"),)


def test_a_sort_that_was_measured_on_disk_is_named_with_its_size() -> None:
    found = sentences(of_postgresql(plans.JOIN_SORTED_ON_DISK))
    assert found[0] == (
        FindingKind.EXTERNAL_SORT,
        "Sorts about 20 MB on disk, since that is more than work_mem.",
    )


def test_a_sort_that_is_planned_is_judged_by_what_it_would_hold() -> None:
    planned = {"Plan": {**plans.JOIN_SORTED_ON_DISK["Plan"]}}
    for key in ("Sort Space Used", "Sort Space Type", "Sort Method"):
        del planned["Plan"][key]
    held = 99796 * (187 + 24)
    assert of_postgresql(planned, held - 1).steps[0].on_disk
    assert not of_postgresql(planned, held).steps[0].on_disk


@pytest.mark.parametrize(("actual", "factor"), [(100, 100), (1e6, 100), (101, None), (9e5, None)])
def test_an_estimate_a_hundred_times_off_is_named(actual: float, factor: int | None) -> None:
    step = PlanStep(
        operation=Operation.INDEX_SCAN,
        detail="",
        table="transcript",
        rows=10_000,
        actual_rows=actual,
    )
    plan = QueryPlan(dialect=Dialect.POSTGRESQL, statement="", steps=(step,))
    found = sentences(plan)
    assert [kind for kind, _ in found] == ([FindingKind.ESTIMATE_OFF] if factor else [])
    if factor:
        assert f"{factor} times off; run ANALYZE transcript." in found[0][1]


def test_a_step_that_a_limit_ended_early_says_nothing_of_its_estimate() -> None:
    document = {
        "Plan": {
            "Node Type": "Limit",
            "Total Cost": 1.0,
            "Plan Rows": 1,
            "Actual Rows": 1,
            "Actual Loops": 1,
            "Plans": [
                {
                    "Node Type": "Index Scan",
                    "Index Name": "transcript_pkey",
                    "Relation Name": "transcript",
                    "Total Cost": 100.0,
                    "Plan Rows": 50_000,
                    "Actual Rows": 1,
                    "Actual Loops": 1,
                }
            ],
        }
    }
    plan = of_postgresql(document)
    assert sentences(plan) == []
    assert [step.operation for step in plan.walk()] == [Operation.OTHER, Operation.INDEX_WALK]
    assert plan.uses("transcript_pkey")
