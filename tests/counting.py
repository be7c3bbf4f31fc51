"""Processes that count, and write down in a ledger how often they did, until they are killed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stretto.bootstrap import build_database
from stretto.bootstrap.monitoring import build_monitoring
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.reading import Reading
from stretto.settings import Settings

COUNTED: Final = "processing.retries"
_PROGRAM: Final = f"""
import os, sys
from pathlib import Path
from stretto.bootstrap import build_database
from stretto.bootstrap.monitoring import build_monitoring
from stretto.contexts.core.bus import EventBus
from stretto.settings import Settings
settings = Settings(home=Path(sys.argv[1]))
monitoring = build_monitoring(settings, build_database(settings), EventBus(), role="worker")
counter = monitoring.collector.counter("{COUNTED}")
ledger = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(1, b"up\\n")
while True:
    counter.add()
    os.write(ledger, b".")
"""


class CountingCrew(AbstractContextManager["CountingCrew"]):
    """Workers of one home; they are all killed when it is left. A kill may fall between a count and
    the byte of the ledger: so much may the count be ahead."""

    def __init__(self, home: Path, *, size: int = 4) -> None:
        self._home, self._ledger, self._size = home, home / "ledger", size
        self._workers: list[subprocess.Popen[str]] = []
        self.kills = 0

    def __enter__(self) -> Self:
        try:
            for _ in range(self._size):
                self._workers.append(self._begun())
        except BaseException:
            self._kill_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._kill_all()

    @property
    def written(self) -> int:
        """What the ledger says."""
        return self._ledger.stat().st_size

    def kill_at_random(self, times: int, dice: random.Random, *, within_s: float) -> None:
        """One after the other, at any moment of what it does; another one takes its place."""
        for _ in range(times):
            time.sleep(dice.uniform(0.0, within_s))
            place = dice.randrange(self._size)
            self._kill(self._workers[place])
            self._workers[place] = self._begun()

    def _begun(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _PROGRAM, str(self._home), str(self._ledger)]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        if worker.stdout.readline() != "up\n":
            worker.communicate()
            raise RuntimeError("A process that was to count did not start.")
        return worker

    def _kill_all(self) -> None:
        for worker in self._workers:
            self._kill(worker)
        self._workers.clear()

    def _kill(self, worker: subprocess.Popen[str]) -> None:
        worker.kill()
        worker.communicate()
        self.kills += 1


def counted_over_all(settings: Settings) -> Reading:
    """What stands over all processes of the home, those that were killed included: told by another
    one, a minute later by its clock."""
    a_minute_later = Timestamp(float(int(time.time()) // 10 * 10 + 60))
    database = build_database(settings)
    try:
        last = build_monitoring(
            settings, database, EventBus(), role="command", clock=lambda: a_minute_later
        )
        last.reporter.round()
        reading = last.service.reading()
        last.close()
    finally:
        database.close()
    return reading
