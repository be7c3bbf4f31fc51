"""Watches an SQLAlchemy engine: which statement took how long, and whose line caused it."""

from __future__ import annotations

import itertools
import logging
import re
import time
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

from stretto.contexts.database.adapters.call_sites import calling_line
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.observations import CallSite, ObservedStatement
from stretto.contexts.database.ports import StatementListener
from stretto.contexts.database.shapes import shape

UNWATCHED: Final = "stretto_unwatched"
"""An execution option for connections that do the watching themselves."""

BY_RELATIONSHIP: Final = "stretto_by_relationship"
MOST_SHAPES: Final = 2000
_PLACES: Final = re.compile(r"%(?:\((\w+)\)s|s|(%))")

logger = logging.getLogger(__name__)
units = itertools.count(1)
"""Numbers for units of work, of all engines and sessions of the process."""


def watch(engine: Engine, listeners: Sequence[StatementListener]) -> None:
    """From now on ``listeners`` hear of everything that ``engine`` runs.

    A transaction is a unit of work. A listener that raises is logged and costs nothing else.
    """
    _Watch(engine, listeners).begin()


def call_site() -> CallSite:
    module, function, line = calling_line()
    return CallSite(module=module, function=function, line=line)


class _Watch:
    def __init__(self, engine: Engine, listeners: Sequence[StatementListener]) -> None:
        self._engine = engine
        self._dialect = Dialect(engine.dialect.name)
        self._listeners = tuple(listeners)
        self._shapes: dict[str, tuple[str, str]] = {}

    def begin(self) -> None:
        event.listen(self._engine, "begin", self._began)
        event.listen(self._engine, "commit", self._ended)
        event.listen(self._engine, "rollback", self._ended)
        event.listen(self._engine, "before_cursor_execute", self._before)
        event.listen(self._engine, "after_cursor_execute", self._after)

    def _began(self, connection: Connection) -> None:
        connection.info["stretto_unit"] = next(units)

    def _ended(self, connection: Connection) -> None:
        unit = connection.info.pop("stretto_unit", None)
        if unit is not None:
            self._tell("unit_ended", unit)

    def _before(
        self, _connection: Any, _cursor: Any, _sql: str, _values: Any, context: Any, _many: Any
    ) -> None:
        if context is not None:
            context.stretto_began = time.perf_counter()

    def _after(
        self, connection: Connection, cursor: Any, sql: str, values: Any, context: Any, _many: Any
    ) -> None:
        began = getattr(context, "stretto_began", None)
        if began is None or context.execution_options.get(UNWATCHED):
            return
        duration_ms = 1000 * (time.perf_counter() - began)
        statement, its_shape = self._read(sql)
        observed = ObservedStatement(
            unit=connection.info.get("stretto_unit", 0),
            statement=statement,
            shape=its_shape,
            arguments=hash(repr(values)) if its_shape.startswith(("select", "with")) else 0,
            duration_ms=duration_ms,
            rows=cursor.rowcount if getattr(cursor, "rowcount", -1) >= 0 else None,
            site=call_site(),
            by_relationship=bool(context.execution_options.get(BY_RELATIONSHIP)),
        )
        self._tell("statement_ran", observed)

    def _tell(self, what: str, value: object) -> None:
        for listener in self._listeners:
            try:
                getattr(listener, what)(value)
            except Exception:  # watching must never break what is watched
                logger.exception("A watcher of statements failed.")

    def _read(self, sql: str) -> tuple[str, str]:
        """The statement with parameters as ``:name``, and its shape; both are remembered."""
        known = self._shapes.get(sql)
        if known is None:
            statement = sql
            if self._engine.dialect.paramstyle in {"format", "pyformat"}:
                statement = _PLACES.sub(lambda m: "%" if m[2] else f":{m[1] or 'value'}", sql)
            known = statement, shape(statement, self._dialect)
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.clear()
            self._shapes[sql] = known
        return known
