"""Bells that wake workers: one for the threads of a process, one that a PostgreSQL rings."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from stretto.contexts.queue.adapters.statements import CHANNEL

LISTEN_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0

logger = logging.getLogger(__name__)


class LocalBell:
    """Rings for one waiting thread of the same process; a ring that nobody waits for is kept."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        self._rung.set()

    def wait(self, seconds: float) -> bool:
        rung = self._rung.wait(seconds)
        if rung:
            self._rung.clear()
        return rung

    def close(self) -> None:
        pass


class PostgresBell(LocalBell):
    """Rings when any process commits a job that is ready (LISTEN and NOTIFY).

    ``connect`` opens a psycopg connection of its own, in autocommit. While the server is away
    nothing rings, and the worker finds jobs by asking.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        super().__init__()
        self._connect = connect
        self._ended = threading.Event()
        self.listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(2 * LISTEN_S)

    def _run(self) -> None:
        pause_s = LISTEN_S
        while not self._ended.is_set():
            try:
                self._listen()
                pause_s = LISTEN_S
            except Exception as error:  # whatever it is, asking goes on
                self.listening.clear()
                logger.info("Not listening to the database for %.0f s: %s", pause_s, error)
                self._ended.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _listen(self) -> None:
        connection = self._connect()
        try:
            connection.execute(f"LISTEN {CHANNEL}")
            self.listening.set()
            self.ring()  # for what was committed before
            while not self._ended.is_set():
                for _ in connection.notifies(timeout=LISTEN_S):
                    self.ring()
        finally:
            connection.close()
