"""Keeps in tables which statements were slow and what was asked for row by row."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    case,
    delete,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from stretto.contexts.database.adapters.advice_errors import translated
from stretto.contexts.database.adapters.statement_watch import UNWATCHED
from stretto.contexts.database.observations import (
    LearnedLoading,
    LoadingState,
    RepeatedStatement,
    SlowStatement,
)

KEPT_FOR_S: Final = 30 * 24 * 3600.0
MOST_SHOWN: Final = 100


def define_tables(metadata: MetaData) -> tuple[Table, Table, Table]:
    """The tables for slow statements, loadings and repeated statements, in ``metadata``."""
    slow = Table(
        "slow_statement",
        metadata,
        Column("key", String(64), primary_key=True),
        Column("shape", Text, nullable=False),
        Column("statement", Text, nullable=False),
        Column("site", Text, nullable=False),
        Column("count", Integer, nullable=False),
        Column("total_ms", Float, nullable=False),
        Column("worst_ms", Float, nullable=False),
        Column("rows", Integer),
        Column("last_seen_s", Float, nullable=False),
    )
    loading = Table(
        "learned_loading",
        metadata,
        Column("key", String(64), primary_key=True),
        Column("site", Text, nullable=False),
        Column("path", Text, nullable=False),
        Column("line", Integer, nullable=False),
        Column("state", String(16), nullable=False),
        Column("most_statements", Integer, nullable=False),
        Column("last_seen_s", Float, nullable=False),
    )
    repeated = Table(
        "repeated_statement",
        metadata,
        Column("key", String(64), primary_key=True),
        Column("site", Text, nullable=False),
        Column("line", Integer, nullable=False),
        Column("shape", Text, nullable=False),
        Column("most_statements", Integer, nullable=False),
        Column("last_seen_s", Float, nullable=False),
    )
    return slow, loading, repeated


class SqlAdviceStore:
    """Makes its tables at the first use where no migration did. Raises StorageUnavailable.

    What nobody saw for 30 days is forgotten, except a loading that somebody decided about.
    """

    def __init__(self, engine: Engine, *, now_s: Callable[[], float] = time.time) -> None:
        self._engine = engine.execution_options(**{UNWATCHED: True})
        self._metadata = MetaData()
        self._slow, self._loading, self._repeated = define_tables(self._metadata)
        self._insert: Any = (
            postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        )
        self._now_s = now_s
        self._guard = threading.Lock()
        self._made = False

    def add(self, slow: Sequence[SlowStatement]) -> None:
        table = self._slow
        with self._writing() as connection:
            for one in sorted(slow, key=lambda one: one.shape):
                row = {**_fields(one, table), "key": _key(one.shape)}
                wanted = self._insert(table).values(row)
                new = wanted.excluded
                changed = {
                    "site": new.site,
                    "statement": new.statement,
                    "rows": new.rows,
                    "count": table.c.count + new["count"],
                    "total_ms": table.c.total_ms + new.total_ms,
                    "worst_ms": _greater(table.c.worst_ms, new.worst_ms),
                    "last_seen_s": _greater(table.c.last_seen_s, new.last_seen_s),
                }
                connection.execute(
                    wanted.on_conflict_do_update(index_elements=["key"], set_=changed)
                )
            old = table.c.last_seen_s < self._now_s() - KEPT_FOR_S
            connection.execute(delete(table).where(old))

    def slow_statements(self) -> tuple[SlowStatement, ...]:
        table = self._slow
        costly = select(table).order_by(table.c.total_ms.desc(), table.c.key).limit(MOST_SHOWN)
        with self._reading() as connection:
            return tuple(
                SlowStatement(**_without_key(row)) for row in connection.execute(costly).mappings()
            )

    def learn(
        self, loadings: Sequence[LearnedLoading], repeated: Sequence[RepeatedStatement]
    ) -> None:
        with self._writing() as connection:
            for one in sorted(loadings, key=lambda one: one.id):
                self._keep_worst(connection, self._loading, one, key=_key(one.id))
            for other in sorted(repeated, key=lambda one: (one.site, one.shape)):
                key = _key(other.site, other.shape)
                self._keep_worst(connection, self._repeated, other, key=key)
            for table in (self._loading, self._repeated):
                old = table.c.last_seen_s < self._now_s() - KEPT_FOR_S
                undecided = (
                    [table.c.state == LoadingState.LEARNED.value] if table is self._loading else []
                )
                connection.execute(delete(table).where(old, *undecided))

    def loadings(self) -> tuple[LearnedLoading, ...]:
        with self._reading() as connection:
            rows = [_without_key(r) for r in connection.execute(select(self._loading)).mappings()]
        return tuple(LearnedLoading(**{**row, "state": LoadingState(row["state"])}) for row in rows)

    def repeated_statements(self) -> tuple[RepeatedStatement, ...]:
        table = self._repeated
        worst = select(table).order_by(table.c.most_statements.desc(), table.c.key)
        with self._reading() as connection:
            rows = connection.execute(worst.limit(MOST_SHOWN)).mappings().all()
        return tuple(RepeatedStatement(**_without_key(row)) for row in rows)

    def set_state(self, loading_id: str, state: LoadingState) -> bool:
        table = self._loading
        chosen = update(table).where(table.c.key == _key(loading_id)).values(state=state.value)
        with self._writing() as connection:
            return connection.execute(chosen).rowcount > 0

    def _keep_worst(self, connection: Connection, table: Table, one: object, *, key: str) -> None:
        wanted = self._insert(table).values({**_fields(one, table), "key": key})
        new = wanted.excluded
        changed = {
            "line": new.line,
            "most_statements": _greater(table.c.most_statements, new.most_statements),
            "last_seen_s": _greater(table.c.last_seen_s, new.last_seen_s),
        }
        connection.execute(wanted.on_conflict_do_update(index_elements=["key"], set_=changed))

    @contextmanager
    def _reading(self) -> Generator[Connection, None, None]:
        with translated("The advice was not read"):
            self._make_tables()
            with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def _writing(self) -> Generator[Connection, None, None]:
        with translated("The advice was not kept"):
            self._make_tables()
            with self._engine.begin() as connection:
                yield connection

    def _make_tables(self) -> None:
        with self._guard:
            if not self._made:
                self._metadata.create_all(self._engine, checkfirst=True)
                self._made = True


def _greater(one: Any, other: Any) -> Any:
    return case((one > other, one), else_=other)


def _fields(one: object, table: Table) -> dict[str, Any]:
    return {column.name: getattr(one, column.name) for column in table.c if column.name != "key"}


def _without_key(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "key"}


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
