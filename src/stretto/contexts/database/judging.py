"""Judges plans: what costs time in them, and which index would change that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from stretto.contexts.database.advice import (
    Finding,
    FindingKind,
    Index,
    IndexDefinition,
    IndexTrial,
    Operation,
    PlanStep,
    QueryPlan,
    Table,
)
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.needs import Need

ESTIMATE_OFF_FACTOR: Final = 100.0
WORTH_IT: Final = 0.8
"""An index costs something at each write; the plan has to become cheaper by a fifth at least."""

LONGEST_INDEX_NAME: Final = 60
_SCANS: Final = frozenset({Operation.FULL_SCAN, Operation.AUTOMATIC_INDEX, Operation.INDEX_WALK})


def judge(
    plan: QueryPlan, tables: Mapping[str, Table], asked: Mapping[str, Need], *, large_rows: int
) -> Iterator[Finding]:
    """What costs time in a plan. A table that is not in ``tables`` counts as small.

    ``asked`` says what the statement compares: without a comparison, whatever walks through an
    index does so for its order.
    """
    for step in plan.walk():
        table = tables.get(step.table)
        if table is not None and table.rows >= large_rows:
            yield from _judged_access(step, table, asked.get(step.alias, Need()))
        yield from _judged_sort(step, plan, tables, large_rows)
        yield from _judged_estimate(step)


def _judged_access(step: PlanStep, table: Table, need: Need) -> Iterator[Finding]:
    name, rows = table.name, f"{table.rows:,}"
    if step.operation is Operation.FULL_SCAN:
        sentence = f"Reads all {rows} rows of {name}, one by one."
        yield Finding(kind=FindingKind.FULL_SCAN, table=name, sentence=sentence)
    elif step.operation is Operation.INDEX_WALK and need.compared:
        sentence = (
            f"Goes through {step.index}, which has {rows} entries, until it has found enough rows "
            f"of {name} with the right {' and '.join(need.compared)}."
        )
        yield Finding(kind=FindingKind.FULL_SCAN, table=name, sentence=sentence)
    elif step.operation is Operation.AUTOMATIC_INDEX:
        sentence = (
            f"Builds an index over all {rows} rows of {name} for this one query, "
            "and throws it away."
        )
        yield Finding(kind=FindingKind.AUTOMATIC_INDEX, table=name, sentence=sentence)


def _judged_sort(
    step: PlanStep, plan: QueryPlan, tables: Mapping[str, Table], large_rows: int
) -> Iterator[Finding]:
    if step.operation is not Operation.SORT:
        return
    if step.on_disk and step.sort_bytes is not None:
        sentence = (
            f"Sorts about {max(1, step.sort_bytes // 1_000_000):,} MB on disk, since that is more "
            "than work_mem."
        )
        yield Finding(kind=FindingKind.EXTERNAL_SORT, table=step.table, sentence=sentence)
    elif plan.dialect is Dialect.SQLITE:
        # SQLite tells neither rows nor bytes; its sorter goes to disk when the page cache is full.
        read = [tables[s.table] for s in plan.walk() if s.table in tables and _may_be_many(s)]
        largest = max(read, key=lambda table: table.rows, default=None)
        if largest is not None and largest.rows >= large_rows:
            sentence = (
                f"Sorts what it reads of {largest.name} ({largest.rows:,} rows) in a temporary "
                "tree, which goes to disk when it outgrows the cache."
            )
            yield Finding(kind=FindingKind.EXTERNAL_SORT, table=largest.name, sentence=sentence)


def _may_be_many(step: PlanStep) -> bool:
    return step.operation in _SCANS or step.operation is Operation.INDEX_SCAN


def _judged_estimate(step: PlanStep) -> Iterator[Finding]:
    if step.rows is None or step.actual_rows is None:
        return
    planned, actual = max(1.0, step.rows), max(1.0, step.actual_rows)
    factor = max(planned / actual, actual / planned)
    if factor >= ESTIMATE_OFF_FACTOR:
        where = f" of {step.table}" if step.table else ""
        yield Finding(
            kind=FindingKind.ESTIMATE_OFF,
            table=step.table,
            sentence=f"Expected {planned:,.0f} rows{where} and got {actual:,.0f}, "
            f"{factor:,.0f} times off; "
            + (f"run ANALYZE {step.table}." if step.table else "run ANALYZE on its tables."),
        )


def suspected(
    plan: QueryPlan, tables: Mapping[str, Table], *, large_rows: int
) -> tuple[tuple[str, str], ...]:
    """Large tables that an index might help with, as (alias, table): read as a whole, or sorted."""
    sorts = any(step.operation is Operation.SORT for step in plan.walk())
    found = [
        (step.alias, step.table)
        for step in plan.walk()
        if step.operation in _SCANS or (sorts and step.operation is Operation.INDEX_SCAN)
    ]
    large = [one for one in found if one[1] in tables and tables[one[1]].rows >= large_rows]
    return tuple(dict.fromkeys(large))


def candidates(table: str, need: Need, existing: Sequence[Index]) -> tuple[IndexDefinition, ...]:
    """The indexes for these needs that are not there yet: by its values, and by its joins.

    Columns that are compared with one value come first; then either those to sort by or one that is
    compared with a range, because behind a range an index has no order any more. Example: ``status
    = ? AND created_at > ? ORDER BY created_at`` wants ``(status, created_at)``.
    """
    behind = [c for c in need.ordered if c.split()[0] not in need.equal]
    ranged = [c for c in need.ranged if c not in need.equal]
    if ranged and (not behind or behind[0].split()[0] not in ranged):
        behind = ranged[:1]
    joined = [*need.joined, *(c for c in need.equal if c not in need.joined)] if need.joined else []
    wanted = [
        _named(table, [*equal, *rest], existing)
        for equal, rest in ((need.equal, behind), (joined, []))
        if (equal or rest) and not any(_begins(i, table, equal, rest) for i in existing)
    ]
    return tuple(dict.fromkeys(wanted))


def _named(table: str, columns: Sequence[str], existing: Sequence[Index]) -> IndexDefinition:
    plain = "_".join(column.split()[0] for column in columns)
    name = f"{table}_{plain}"[:LONGEST_INDEX_NAME]
    if any(index.definition.name == name for index in existing):
        name = f"{name[: LONGEST_INDEX_NAME - 2]}_2"
    return IndexDefinition(name=name, table=table, columns=tuple(columns))


def _begins(index: Index, table: str, equal: Sequence[str], behind: Sequence[str]) -> bool:
    """Whether a real index begins with these columns; those for equality in any order."""
    definition = index.definition
    if definition.table != table or definition.where or not index.valid:
        return False
    head, rest = definition.columns[: len(equal)], definition.columns[len(equal) :]
    return set(head) == set(equal) and tuple(behind) == rest[: len(behind)]


def helps(trial: IndexTrial) -> bool:
    """SQLite names no costs: there it has to be enough that the planner takes an index."""
    before, after = trial.before.cost, trial.after.cost
    return before is None or after is None or after <= WORTH_IT * before


def proven(trial: IndexTrial) -> str:
    before, after = trial.before.cost, trial.after.cost
    if before is None or after is None:
        return "Tried on an empty copy of the tables: the planner takes it."
    factor = before / max(after, 0.01)
    less = f"{factor:,.0f} times" if factor >= 2 else f"{100 * (1 - after / before):.0f} %"
    costs = f"from {before:,.0f} to {after:,.0f}, {less} less"
    return f"Tried and undone: the cost of the plan falls {costs}."
