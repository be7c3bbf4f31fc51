"""Asks PostgreSQL for its plans, and reads them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from sqlalchemy import Engine

from stretto.contexts.core.errors import InvalidStatement
from stretto.contexts.database.adapters.advice_errors import translated
from stretto.contexts.database.advice import (
    IndexDefinition,
    IndexTrial,
    Operation,
    PlanStep,
    QueryPlan,
    QueryResult,
)
from stretto.contexts.database.ddl import create_index
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.statements import numbered

Send = Callable[[str], Any]
"""Runs one statement; returns its first row, or None."""

LONGEST_RUN_MS: Final = 10_000
LONGEST_TRIAL_MS: Final = 60_000
LONGEST_WAIT_MS: Final = 1_000
"""How long a trial waits for its lock: behind it, writers of the table would queue."""

TUPLE_OVERHEAD_BYTES: Final = 24
"""What a sort adds to each row: relation_byte_size() in PostgreSQL's costsize.c."""

_OPERATIONS: Final = {
    "Seq Scan": Operation.FULL_SCAN,
    "Sample Scan": Operation.FULL_SCAN,
    "Index Scan": Operation.INDEX_SCAN,
    "Index Only Scan": Operation.INDEX_SCAN,
    "Bitmap Index Scan": Operation.INDEX_SCAN,
    "Sort": Operation.SORT,
    "Incremental Sort": Operation.SORT,
}
_READING_ALL: Final = frozenset({"Sort", "Hash", "Aggregate", "Materialize", "WindowAgg", "SetOp"})


class PostgresqlExplainer:
    """Reads plans through ``engine``; parameters are planned for without looking at a value."""

    dialect = Dialect.POSTGRESQL

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def plan(self, statement: str) -> QueryPlan:
        with self._transaction("The statement was not explained") as send:
            return _explain(send, statement)

    def measure(self, statement: str) -> QueryResult:
        """Stops after LONGEST_RUN_MS with StorageUnavailable."""
        if numbered(statement, self.dialect)[1]:
            raise InvalidStatement("To run the statement, put values in place of its parameters.")
        with self._transaction("The statement was not run") as send:
            work_memory = _work_memory_bytes(send)
            document = _json(send, f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
        plan = read_plan(statement, document, work_memory_bytes=work_memory)
        rows = sum(step.actual_rows or 0 for step in plan.steps)
        return QueryResult(plan=plan, rows=round(rows), duration_ms=document["Execution Time"])

    def trial(self, statement: str, indexes: Sequence[IndexDefinition]) -> IndexTrial:
        """In a transaction that is undone. Writers of the tables wait while indexes are built."""
        with self._transaction("The index was not tried", for_ms=LONGEST_TRIAL_MS) as send:
            before = _explain(send, statement)
            for index in indexes:
                send(create_index(index, if_missing=False))
            return IndexTrial(before=before, after=_explain(send, statement))

    @contextmanager
    def _transaction(self, what: str, *, for_ms: int = 0) -> Generator[Send, None, None]:
        """Always undone; after an error the connection is thrown away with all that it holds.

        It only reads, unless ``for_ms`` says how long its statements may take.
        """
        with translated(what), closing(self._engine.raw_connection()) as connection:
            driver: Any = connection.driver_connection

            def send(sql: str) -> Any:
                """In binary, since then the server takes one statement only."""
                with driver.cursor(binary=True) as cursor:
                    cursor.execute(sql)
                    return cursor.fetchone() if cursor.description else None

            try:
                send("SET TRANSACTION READ WRITE" if for_ms else "SET TRANSACTION READ ONLY")
                send(f"SET LOCAL statement_timeout = {for_ms or LONGEST_RUN_MS}")
                send(f"SET LOCAL lock_timeout = {LONGEST_WAIT_MS}")
                yield send
                driver.rollback()
            except BaseException:
                connection.invalidate()
                raise


def _json(send: Send, sql: str) -> dict[str, Any]:
    document: dict[str, Any] = send(sql)[0][0]
    return document


def _explain(send: Send, statement: str) -> QueryPlan:
    work_memory = _work_memory_bytes(send)
    text, parameters = numbered(statement, Dialect.POSTGRESQL)
    if not parameters:
        document = _json(send, f"EXPLAIN (FORMAT JSON) {text}")
        return read_plan(statement, document, work_memory_bytes=work_memory)
    # Servers before 16 have no GENERIC_PLAN; this way works on all of them.
    send("SET LOCAL plan_cache_mode = force_generic_plan")
    send(f"PREPARE stretto_explained AS {text}")
    nothing = ", ".join(["NULL"] * parameters)
    document = _json(send, f"EXPLAIN (FORMAT JSON) EXECUTE stretto_explained ({nothing})")
    send("DEALLOCATE stretto_explained")
    return read_plan(statement, document, work_memory_bytes=work_memory)


def _work_memory_bytes(send: Send) -> int:
    (kilobytes,) = send("SELECT setting::bigint FROM pg_settings WHERE name = 'work_mem'")
    return 1024 * int(kilobytes)


def read_plan(statement: str, document: Mapping[str, Any], *, work_memory_bytes: int) -> QueryPlan:
    """The plan from one element of what EXPLAIN (FORMAT JSON) answers."""
    top = _step(document["Plan"], work_memory_bytes, limit=None)
    return QueryPlan(dialect=Dialect.POSTGRESQL, statement=statement, steps=(top,), cost=top.cost)


def _step(node: Mapping[str, Any], work_memory_bytes: int, *, limit: float | None) -> PlanStep:
    """``limit`` is how many rows are taken from this step, where that may be fewer than it has."""
    kind = node["Node Type"]
    operation = _OPERATIONS.get(kind, Operation.OTHER)
    if operation is Operation.INDEX_SCAN and not {"Index Cond", "Order By"} & node.keys():
        operation = Operation.INDEX_WALK
    below = node["Plan Rows"] if kind == "Limit" else None if kind in _READING_ALL else limit
    sort_bytes, on_disk = _sort_space(node, work_memory_bytes, limit)
    # A step that was ended early gave fewer rows than expected, which says nothing of the estimate.
    finished = node.get("Actual Loops", 0) > 0 and limit is None
    return PlanStep(
        operation=operation,
        detail=_detail(node),
        table=node.get("Relation Name", ""),
        alias=node.get("Alias", ""),
        index=node.get("Index Name", ""),
        rows=node["Plan Rows"],
        actual_rows=node["Actual Rows"] if finished else None,
        cost=node["Total Cost"],
        sort_bytes=sort_bytes if operation is Operation.SORT else None,
        on_disk=operation is Operation.SORT and on_disk,
        children=tuple(
            _step(child, work_memory_bytes, limit=below) for child in node.get("Plans", ())
        ),
    )


def _sort_space(
    node: Mapping[str, Any], work_memory_bytes: int, limit: float | None
) -> tuple[int, bool]:
    """Bytes a sort of these rows holds, and whether that goes to disk; measured, or else planned.

    Example: 1,000 rows 40 bytes wide are planned with 1,000 x (40 + 24) bytes.
    """
    if "Sort Space Used" in node:
        return 1024 * int(node["Sort Space Used"]), node["Sort Space Type"] == "Disk"
    rows = node["Plan Rows"] if limit is None else min(limit, node["Plan Rows"])
    held = round(rows * (node.get("Plan Width", 0) + TUPLE_OVERHEAD_BYTES))
    return held, held > work_memory_bytes


def _detail(node: Mapping[str, Any]) -> str:
    """One line as psql would show it."""
    words = [node["Node Type"]]
    if "Index Name" in node:
        words.append(f"using {node['Index Name']}")
    if "Relation Name" in node:
        words.append(f"on {node['Relation Name']}")
        if node.get("Alias", node["Relation Name"]) != node["Relation Name"]:
            words.append(node["Alias"])
    conditions = ("Index Cond", "Recheck Cond", "Filter", "Hash Cond", "Join Filter")
    words += [f"{key.lower()} {node[key]}" for key in conditions if key in node]
    if "Sort Key" in node:
        words.append(f"by {', '.join(node['Sort Key'])}")
    return " ".join(words)
