"""Times the statements of the standard library's SQLite connections, and notes the slow ones.

Made for the embedded database: it costs a few microseconds for each call and imports nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from stretto.contexts.database.adapters.call_sites import calling_line

MOST_NOTED: Final = 1000


class SlowRun:
    """One run of a statement: milliseconds in SQLite so far, rows read so far, and from where."""

    __slots__ = ("duration_ms", "rows", "site", "statement")

    def __init__(self, statement: str) -> None:
        self.statement = statement
        self.duration_ms = 0.0
        self.rows = 0
        self.site: tuple[str, str, int] | None = None


class SlowRuns:
    """The latest runs that took ``slow_ms`` or longer; ``noted`` is called for each of them, in the
    middle of the work. Safe from many threads."""

    def __init__(self, slow_ms: float, *, noted: Callable[[], None] = lambda: None) -> None:
        self._slow_ms = slow_ms
        self._tell = noted
        self._noted: deque[SlowRun] = deque(maxlen=MOST_NOTED)

    def heard(self, statement: str, seconds: float) -> None:
        """For whoever times whole statements, as PostgresDatabase does; nobody counts the rows."""
        self.spent(SlowRun(statement), seconds)

    def spent(self, run: SlowRun, seconds: float) -> None:
        run.duration_ms += 1000 * seconds
        if run.site is None and run.duration_ms >= self._slow_ms:
            run.site = calling_line()
            self._noted.append(run)
            self._tell()

    @property
    def are_noted(self) -> bool:
        return bool(self._noted)

    def taken(self) -> Iterator[SlowRun]:
        """Those noted since the last time."""
        while self._noted:
            yield self._noted.popleft()

    def connection_class(self) -> type[sqlite3.Connection]:
        """For ``sqlite3.connect(factory=...)``."""
        runs = self

        class WatchedCursor(_WatchedCursor):
            noted_in = runs

        class WatchedConnection(sqlite3.Connection):
            def cursor(self, factory: Any = WatchedCursor) -> Any:
                return super().cursor(factory)

            # the library's own shortcuts would make a plain cursor
            def execute(self, sql: str, parameters: Any = (), /) -> Any:
                return self.cursor().execute(sql, parameters)

            def executemany(self, sql: str, parameters: Any, /) -> Any:
                return self.cursor().executemany(sql, parameters)

        return WatchedConnection


class _WatchedCursor(sqlite3.Cursor):
    """SQLite looks for the next row when it is fetched, so that fetching counts too."""

    noted_in: SlowRuns
    _run: SlowRun = SlowRun("")

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        self._run = SlowRun(sql)
        return self._timed(super().execute, sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        self._run = SlowRun(sql)
        return self._timed(super().executemany, sql, parameters)

    def fetchone(self) -> Any:
        row = self._timed(super().fetchone)
        self._run.rows += row is not None
        return row

    def fetchmany(self, *size: Any, **named: Any) -> Any:
        rows = self._timed(super().fetchmany, *size, **named)
        self._run.rows += len(rows)
        return rows

    def fetchall(self) -> Any:
        rows = self._timed(super().fetchall)
        self._run.rows += len(rows)
        return rows

    def __next__(self) -> Any:
        row = self._timed(super().__next__)
        self._run.rows += 1
        return row

    def _timed(self, call: Any, *given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return call(*given, **named)
        finally:
            self.noted_in.spent(self._run, time.perf_counter() - began)
