"""Keeps what was slow in the database for ``stretto db advise``: now and then, and at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Timer
from typing import Final

from stretto.bootstrap.advice import build_advisers
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.database.adapters.sqlite_watch import SlowRuns
from stretto.contexts.database.model import Dialect
from stretto.settings import Settings

KEPT_EVERY_S: Final = 30.0
"""A process that is killed loses what was slow in its last seconds, no more than these."""

logger = logging.getLogger(__name__)


class SlowStatements:
    """What ``runs`` notes is stored ``every_s`` after the first of it, on a thread of its own: the
    caller may be in the middle of a transaction. While nothing is slow there is no such thread.
    """

    def __init__(self, settings: Settings, *, every_s: float = KEPT_EVERY_S) -> None:
        self.counted: Callable[[], None] = lambda: None
        self.runs = SlowRuns(settings.slow_query_ms, noted=self._noted)
        self._settings = settings
        self._every_s = every_s
        self._timer: Timer | None = None
        self._closed = False
        self._guard, self._keeping = Lock(), Lock()

    def close(self) -> None:
        """Store what is left. Never raises."""
        with self._guard:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
        self._keep()

    def _noted(self) -> None:
        self.counted()
        self._start()

    def _start(self) -> None:
        with self._guard:
            if self._timer is not None or self._closed:
                return
            self._timer = Timer(self._every_s, self._time_is_up)
            self._timer.daemon = True
            with suppress(RuntimeError):  # Python is about to end, and starts no thread any more
                self._timer.start()

    def _time_is_up(self) -> None:
        self._keep()
        with self._guard:
            self._timer = None
        if self.runs.are_noted:  # noted meanwhile
            self._start()

    def _keep(self) -> None:
        with self._keeping:
            try:
                _remember(self._settings, self.runs)
            except StrettoError as error:  # advice about the work must never spoil the work
                logger.info("Slow statements were not remembered. %s", error)
            except Exception:
                logger.exception("Slow statements were not remembered.")


def _remember(settings: Settings, slow: SlowRuns) -> None:
    """Add what was noted to what ``stretto db advise`` knows. Raises StorageUnavailable."""
    runs = list(slow.taken())
    if not runs:  # almost always; only now it is worth to import what writes them down
        return
    from stretto.contexts.database.observations import CallSite, ObservedStatement
    from stretto.contexts.database.shapes import shape
    from stretto.contexts.database.statements import explainable

    dialect = Dialect.POSTGRESQL if settings.database_address else Dialect.SQLITE
    runs = [run for run in runs if run.site and explainable(run.statement, dialect)]
    if not runs:  # the beginning and end of a transaction on a slow disk, and the like
        return
    with build_advisers(settings) as advisers:
        for run in runs:
            assert run.site is not None
            module, function, line = run.site
            observed = ObservedStatement(
                unit=0,
                statement=run.statement,
                shape=shape(run.statement, dialect),
                arguments=0,
                duration_ms=run.duration_ms,
                rows=run.rows or None,
                site=CallSite(module=module, function=function, line=line),
            )
            advisers.optimizer.statement_ran(observed)
        advisers.flush()
