"""Asks SQLite for its plans, and reads them."""

from __future__ import annotations

import re
import sqlite3
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
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
from stretto.contexts.database.needs import aliases
from stretto.contexts.database.statements import numbered

LONGEST_RUN_S: Final = 10.0
PROGRESS_STEPS: Final = 100_000
"""Instructions of SQLite's machine between two looks at the clock."""

_ACCESS: Final = re.compile(
    r"(?P<verb>SCAN|SEARCH) (?:TABLE )?(?P<table>\S+)(?: AS (?P<alias>\S+))?"
    r"(?: USING (?P<automatic>AUTOMATIC )?(?:PARTIAL )?(?:COVERING )?INDEX ?(?P<index>[^(\s]\S*)?)?"
    r"(?P<rest>.*)"
)
_NO_TABLE: Final = frozenset({"CONSTANT", "(subquery", "SUBQUERY"})


class SqliteExplainer:
    """Reads plans through ``engine``. SQLite names no costs and no numbers of rows."""

    dialect = Dialect.SQLITE

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def plan(self, statement: str) -> QueryPlan:
        with self._reading("The statement was not explained") as driver:
            return _explain(driver, statement)

    def measure(self, statement: str) -> QueryResult:
        """Stops after LONGEST_RUN_S seconds with InvalidStatement."""
        if numbered(statement, self.dialect)[1]:
            raise InvalidStatement("To run the statement, put values in place of its parameters.")
        with self._reading("The statement was not run") as driver:
            plan = _explain(driver, statement)
            began = time.monotonic()
            with _stopped_after(driver, LONGEST_RUN_S), closing(driver.cursor()) as cursor:
                rows = sum(1 for _ in cursor.execute(statement))
        return QueryResult(plan=plan, rows=rows, duration_ms=1000 * (time.monotonic() - began))

    def trial(self, statement: str, indexes: Sequence[IndexDefinition]) -> IndexTrial:
        """On an empty copy of the tables in memory: the file is only read."""
        with (
            self._reading("The index was not tried") as driver,
            closing(sqlite3.connect(":memory:")) as copy,
        ):
            _copy_schema(driver, copy)
            before = _explain(copy, statement)
            for index in indexes:
                copy.execute(create_index(index, if_missing=False))
            return IndexTrial(before=before, after=_explain(copy, statement))

    @contextmanager
    def _reading(self, what: str) -> Generator[Any, None, None]:
        """The driver's own connection: no transaction is begun, and no writer waits."""
        with translated(what), closing(self._engine.raw_connection()) as connection:
            driver: Any = connection.driver_connection
            driver.execute("PRAGMA query_only = ON")
            try:
                yield driver
            finally:
                driver.execute("PRAGMA query_only = OFF")


def _explain(driver: Any, statement: str) -> QueryPlan:
    text, parameters = numbered(statement, Dialect.SQLITE)
    cursor = driver.cursor()
    rows = cursor.execute(f"EXPLAIN QUERY PLAN {text}", [None] * parameters).fetchall()
    cursor.close()
    return read_plan(statement, rows)


@contextmanager
def _stopped_after(driver: Any, seconds: float) -> Generator[None, None, None]:
    deadline = time.monotonic() + seconds
    driver.set_progress_handler(lambda: time.monotonic() > deadline, PROGRESS_STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        raise InvalidStatement(f"It ran longer than {seconds:g} s and was stopped.") from error
    finally:
        driver.set_progress_handler(None, 0)


def _copy_schema(driver: Any, copy: sqlite3.Connection) -> None:
    """Tables, indexes and what ANALYZE found out; no rows."""
    cursor = driver.cursor()
    for (sql,) in cursor.execute(_SCHEMA).fetchall():
        with suppress(sqlite3.OperationalError):  # made by another one, as the parts of FTS tables
            copy.execute(sql)
    if cursor.execute(_HAS_STATISTICS).fetchone():
        copy.execute("ANALYZE sqlite_schema")
        rows = cursor.execute("SELECT tbl, idx, stat FROM sqlite_stat1").fetchall()
        copy.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", rows)
        copy.execute("ANALYZE sqlite_schema")
    cursor.close()


_SCHEMA: Final = """
    SELECT sql FROM sqlite_schema
    WHERE sql IS NOT NULL AND type IN ('table', 'index', 'view') AND name NOT LIKE 'sqlite\\_%'
    ESCAPE '\\' ORDER BY CASE type WHEN 'table' THEN 1 WHEN 'view' THEN 2 ELSE 3 END
"""
_HAS_STATISTICS: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'"


def read_plan(statement: str, rows: Iterable[Sequence[Any]]) -> QueryPlan:
    """The plan from the rows of EXPLAIN QUERY PLAN: id, parent, unused, detail."""
    names = aliases(statement, Dialect.SQLITE)
    below: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for number, parent, _, detail in rows:
        below[int(parent)].append((int(number), str(detail)))

    def steps(parent: int) -> tuple[PlanStep, ...]:
        return tuple(_step(detail, names, steps(number)) for number, detail in below[parent])

    return QueryPlan(dialect=Dialect.SQLITE, statement=statement, steps=steps(0))


def _step(detail: str, names: Mapping[str, str], children: tuple[PlanStep, ...]) -> PlanStep:
    if detail.startswith("USE TEMP B-TREE"):
        return PlanStep(operation=Operation.SORT, detail=detail, children=children)
    match = _ACCESS.match(detail)
    if match is None or match["table"] in _NO_TABLE or "VIRTUAL TABLE" in detail:
        return PlanStep(operation=Operation.OTHER, detail=detail, children=children)
    shown = match["table"].strip("\"'")
    if match["automatic"]:
        operation = Operation.AUTOMATIC_INDEX
    elif match["verb"] == "SEARCH":
        operation = Operation.INDEX_SCAN
    elif match["index"]:
        operation = Operation.INDEX_WALK
    else:
        operation = Operation.FULL_SCAN
    alias = (match["alias"] or shown).lower()
    index = "" if operation is Operation.AUTOMATIC_INDEX else match["index"] or ""
    return PlanStep(
        operation=operation,
        detail=detail,
        table=names.get(alias, shown),
        alias=alias,
        index=index,
        children=children,
    )
