"""The tables and indexes of a SQLite file, as they really are."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Engine

from stretto.contexts.database.adapters.advice_errors import translated
from stretto.contexts.database.advice import Index, IndexDefinition, IndexStep, Table
from stretto.contexts.database.ddl import quoted
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.statements import Token, tokens

COUNTED_ROWS: Final = 20_000
"""Up to here rows are counted; above, the highest row number stands for their number."""


class SqliteCatalog:
    """Looks through ``engine``. Raises StorageUnavailable."""

    dialect = Dialect.SQLITE

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def tables(self, names: Collection[str]) -> tuple[Table, ...]:
        with self._driver("The tables were not looked at") as driver:
            found = {name for (name,) in driver.execute(_TABLES)}
            return tuple(_table(driver, name) for name in sorted(found & set(names)))

    def indexes(self) -> tuple[Index, ...]:
        with self._driver("The indexes were not looked at") as driver:
            return tuple(_index(driver, *row) for row in driver.execute(_INDEXES).fetchall())

    def repair(self, steps: Sequence[IndexStep]) -> None:
        """Each step is a transaction of its own. Others cannot write while one runs."""
        for step in steps:
            with self._driver(f"The index {step.name} was not repaired") as driver:
                if not driver.in_transaction:
                    driver.execute("BEGIN IMMEDIATE")
                try:
                    for statement in step.statements:
                        driver.execute(statement)
                    driver.commit()
                except BaseException:
                    driver.rollback()
                    raise

    @contextmanager
    def _driver(self, what: str) -> Generator[Any, None, None]:
        with translated(what), closing(self._engine.raw_connection()) as connection:
            yield connection.driver_connection


def _table(driver: Any, name: str) -> Table:
    columns = [column for (column,) in driver.execute(_COLUMNS, (name,))]
    counting = f"SELECT count(*) FROM (SELECT 1 FROM {quoted(name)} LIMIT {COUNTED_ROWS + 1})"  # noqa: S608 - a name from the catalog, quoted
    (rows,) = driver.execute(counting).fetchone()
    if rows > COUNTED_ROWS and not driver.execute(_WITHOUT_ROWID, (name,)).fetchone():
        (rows,) = driver.execute(f"SELECT max(rowid) FROM {quoted(name)}").fetchone()  # noqa: S608
    return Table(name=name, columns=tuple(columns), rows=int(rows))


def _index(
    driver: Any, table: str, name: str, unique: int, origin: str, partial: int, sql: str | None
) -> Index:
    parts, where = _written(sql or "")
    columns = [
        (column if column is not None else parts[number]) + (" DESC" if descends else "")
        for number, column, descends in driver.execute(_INDEX_COLUMNS, (name,))
    ]
    definition = IndexDefinition(
        name=name,
        table=table,
        columns=tuple(columns),
        unique=bool(unique),
        where=where if partial else "",
    )
    return Index(definition=definition, constraint=origin != "c")


def _written(sql: str) -> tuple[tuple[str, ...], str]:
    """The columns and the condition as they were written in CREATE INDEX."""
    depth, starts, ends, where = 0, list[Token](), list[Token](), ""
    found = tokens(sql, Dialect.SQLITE)
    for before, token in pairwise(found):
        if token.text == ")":
            depth -= 1
            if depth == 0:
                ends.append(token)
        if depth == 1 and ((before.text == "(" and not starts) or before.text == ","):
            starts.append(token)
        if depth == 1 and token.text == ",":
            ends.append(token)
        if token.text == "(":
            depth += 1
        if depth == 0 and token.low == "where" and not where:
            where = sql[token.end :].strip()
    parts = [sql[a.start : b.start].strip() for a, b in zip(starts, ends, strict=False)]
    return tuple(parts), where


_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table'"
_COLUMNS: Final = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
_WITHOUT_ROWID: Final = "SELECT 1 FROM pragma_table_list(?) WHERE wr = 1"
_INDEXES: Final = """
    SELECT t.name, i.name, i."unique", i.origin, i.partial, s.sql
    FROM sqlite_schema AS t, pragma_index_list(t.name) AS i
    LEFT JOIN sqlite_schema AS s ON s.type = 'index' AND s.name = i.name
    WHERE t.type = 'table' ORDER BY t.name, i.name
"""
_INDEX_COLUMNS: Final = """
    SELECT seqno, name, "desc" FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno
"""
