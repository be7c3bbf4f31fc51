"""Says every ten seconds where the series of this process stand, and takes over what dead processes
of this machine left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Final, Protocol

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.collector import MetricsCollector
from stretto.contexts.monitoring.frames import STEP_S, ProcessReport, ProcessState
from stretto.contexts.monitoring.ports import Reports
from stretto.contexts.monitoring.reading import Reading

RETRIED_EVERY: Final = 6
"""What could not be told to people is tried again every minute: with every sixth round."""

logger = logging.getLogger(__name__)


class Left(Protocol):
    """What a dead process left."""

    @property
    def id(self) -> str: ...

    @property
    def role(self) -> str: ...

    @property
    def pid(self) -> int: ...

    @property
    def reading(self) -> Reading: ...

    def remove(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class Reporter:
    """One for each process. ``observers`` set gauges before a report, ``tick`` makes frames and
    looks after alerts, ``tell`` hands over what people are to be told. Nothing of it raises:
    trouble with monitoring is a line in the log, and a later try."""

    identity: Callable[[], ProcessReport]
    collector: MetricsCollector
    reports: Reports
    left: Callable[[], Iterable[Left]]
    tick: Callable[[], object]
    tell: Callable[[], object]
    clock: Callable[[], Timestamp]
    observers: list[Callable[[], None]] = field(default_factory=list)
    removed: Callable[[], None] = lambda: None
    every_s: float = STEP_S
    _closed: Event = field(default_factory=Event)
    _turn: Lock = field(default_factory=Lock)
    _thread: Thread | None = None
    _rounds: int = 0

    def start(self) -> None:
        """From now on in the background."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="metrics", daemon=True)
            self._thread.start()

    def round(self) -> None:
        """Report, take over what was left, and make what is due."""
        with self._turn:
            if self._closed.is_set():
                return
            self._rounds += 1
            self._carefully(self._observe)
            self._carefully(lambda: self._report(ProcessState.RUNNING))
            self._carefully(self._take_over)
            self._carefully(self.tick)
            if self._rounds % RETRIED_EVERY == 1:
                self._carefully(self.tell)

    def close(self) -> None:
        """Report for the last time; the page is not needed after that."""
        with self._turn:
            if self._closed.is_set():
                return
            self._closed.set()
            if self._carefully(lambda: self._report(ProcessState.LEFT)):
                self._carefully(self.removed)
            self._carefully(self.tick)

    def _run(self) -> None:
        while not self._closed.is_set():
            self.round()
            # at the same second everywhere, so that a frame has what all processes did in it
            self._closed.wait(self.every_s - self.clock().unix_s % self.every_s + 0.2)

    def _observe(self) -> None:
        for observe in tuple(self.observers):
            self._carefully(observe)

    def _report(self, state: ProcessState) -> None:
        report = self.identity()
        self.reports.report(
            ProcessReport(
                id=report.id,
                role=report.role,
                host=report.host,
                pid=report.pid,
                at=self.clock(),
                reading=self.collector.reading(),
                state=state,
            )
        )

    def _take_over(self) -> None:
        own = self.identity()
        for page in self.left():
            report = ProcessReport(
                id=page.id,
                role=page.role,
                host=own.host,
                pid=page.pid,
                at=self.clock(),
                reading=page.reading,
                state=ProcessState.DIED,
            )
            self.reports.report(report)
            page.remove()
            logger.info("A %s (process %d) vanished without a word.", page.role, page.pid)

    def _carefully(self, chore: Callable[[], object]) -> bool:
        try:
            chore()
        except StrettoError as trouble:
            logger.info("Metrics wait for the next time. %s", trouble)
        except Exception:
            logger.exception("Metrics wait for the next time.")
        else:
            return True
        return False
