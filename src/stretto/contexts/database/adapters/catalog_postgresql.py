"""The tables and indexes of a PostgreSQL database, as they really are."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from sqlalchemy import Engine

from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.database.adapters.advice_errors import translated
from stretto.contexts.database.advice import Index, IndexDefinition, IndexStep, Table
from stretto.contexts.database.ddl import quoted
from stretto.contexts.database.model import Dialect

COUNTED_ROWS: Final = 20_000
"""How far rows are counted in a table of which the server's statistics know nothing yet."""

LONGEST_WAIT_MS: Final = 600_000
"""How long the building of an index waits for transactions that began before it."""

LOCK: Final = 0x7374_7265_7474_6F
"""The advisory lock of whoever repairs indexes: "stretto" in ASCII."""


class PostgresqlCatalog:
    """Looks through ``engine`` at what the search path leads to. Raises StorageUnavailable."""

    dialect = Dialect.POSTGRESQL

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def tables(self, names: Collection[str]) -> tuple[Table, ...]:
        with self._driver("The tables were not looked at") as driver:
            rows = driver.execute(_TABLES, (list(names),)).fetchall()
            return tuple(_table(driver, *row) for row in rows)

    def indexes(self) -> tuple[Index, ...]:
        with self._driver("The indexes were not looked at") as driver:
            return tuple(_index(*row) for row in driver.execute(_INDEXES).fetchall())

    def repair(self, steps: Sequence[IndexStep]) -> None:
        """Outside transactions, so that an index is built while others read and write."""
        with self._driver("The indexes were not repaired") as driver:
            driver.autocommit = True
            (free,) = driver.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
            if not free:
                raise StorageUnavailable(
                    "Another Stretto is repairing the indexes. Wait until it is done."
                )
            driver.execute(f"SET lock_timeout = {LONGEST_WAIT_MS}")
            driver.execute("SET statement_timeout = 0")  # an index takes as long as it takes
            for step in steps:
                with translated(f"The index {step.name} was not repaired"):
                    for statement in step.statements:
                        driver.execute(statement)
            driver.execute("RESET lock_timeout")
            driver.execute("RESET statement_timeout")
            driver.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
            driver.autocommit = False

    @contextmanager
    def _driver(self, what: str) -> Generator[Any, None, None]:
        """After an error the connection is thrown away, and its locks with it."""
        with translated(what), closing(self._engine.raw_connection()) as connection:
            try:
                yield connection.driver_connection
            except BaseException:
                connection.invalidate()
                raise


def _table(driver: Any, name: str, rows: int, columns: list[str]) -> Table:
    if rows <= 0:
        counting = f"SELECT count(*) FROM (SELECT 1 FROM {quoted(name)} LIMIT {COUNTED_ROWS}) AS t"  # noqa: S608 - a name from the catalog, quoted
        (rows,) = driver.execute(counting).fetchone()
    return Table(name=name, columns=tuple(columns), rows=int(rows))


def _index(
    name: str,
    table: str,
    columns: list[str],
    unique: bool,
    method: str,
    where: str | None,
    valid: bool,
    constraint: bool,
    scans: int | None,
    size_bytes: int,
    age: int,
) -> Index:
    definition = IndexDefinition(
        name=name,
        table=table,
        columns=tuple(column.replace('"', "") for column in columns),
        unique=unique,
        method=method,
        where=where or "",
    )
    return Index(
        definition=definition,
        valid=valid,
        constraint=constraint,
        scans=scans,
        size_bytes=size_bytes,
        age=age,
    )


# What ANALYZE counted is better than the running count, which is late and can count twice.
_TABLES: Final = """
    SELECT c.relname,
           CASE WHEN c.reltuples > 0 THEN c.reltuples::bigint ELSE s.n_live_tup END,
           array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_stat_user_tables AS s ON s.relid = c.oid
    WHERE c.relkind IN ('r', 'p') AND c.relname = ANY(%s) AND pg_table_is_visible(c.oid)
    GROUP BY c.oid, c.relname, c.reltuples, s.n_live_tup ORDER BY c.relname
"""
# An index that somebody is building just now is not valid yet, and not broken either.
_INDEXES: Final = """
    SELECT i.relname, t.relname,
           ARRAY(
               SELECT pg_get_indexdef(i.oid, n, true)
                   || CASE WHEN x.indoption[n - 1] & 1 = 1 THEN ' DESC' ELSE '' END
               FROM generate_series(1, x.indnkeyatts) AS n ORDER BY n
           ),
           x.indisunique, m.amname, pg_get_expr(x.indpred, x.indrelid, true),
           x.indisvalid OR EXISTS (
               SELECT 1 FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.oid
           ),
           EXISTS (
               SELECT 1 FROM pg_constraint AS k
               WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x')
           ),
           s.idx_scan, pg_relation_size(i.oid), age(i.xmin)
    FROM pg_index AS x
    JOIN pg_class AS i ON i.oid = x.indexrelid
    JOIN pg_class AS t ON t.oid = x.indrelid
    JOIN pg_am AS m ON m.oid = i.relam
    JOIN pg_stat_user_indexes AS s ON s.indexrelid = i.oid
    WHERE pg_table_is_visible(t.oid) ORDER BY t.relname, i.relname
"""
