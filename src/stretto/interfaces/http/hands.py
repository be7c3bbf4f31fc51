"""The worker beside the server: a process of its own, so that no recording, however it is decoded,
keeps the server from answering, and none takes it along when it crashes.

The pipe between them is the bell: a byte says that there is something to do, and its end that the
server is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from typing import Final

CHILD: Final = "stretto.interfaces.http.hands"
SHORTEST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
LASTED_S: Final = 60.0
"""A worker that lived so long died of something else than its start."""

GRACE_S: Final = 30.0
NICENESS: Final = 10
"""Whoever asks comes first: answering takes a millisecond, recognising everything there is."""

logger = logging.getLogger(__name__)


class NoHands:
    """Workers are somewhere else, and hear of jobs from the database."""

    work = False

    def start(self) -> None:
        pass

    def ring(self) -> None:
        pass

    def close(self) -> None:
        pass


class WorkerProcess:
    """Keeps one worker process alive, for ``concurrency`` jobs at once."""

    work = True

    def __init__(self, concurrency: int, *, environment: dict[str, str] | None = None) -> None:
        self._command = [sys.executable, "-m", CHILD, str(concurrency)]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="worker-process", daemon=True)
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Of the worker that is there just now."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        self._keeper.start()

    def ring(self) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):  # the next one looks by itself
            if self._process is not None and self._process.stdin is not None:
                os.write(self._process.stdin.fileno(), b"!")

    def close(self) -> None:
        """Let the worker hand back what it has, and wait for that."""
        self._closing.set()
        self._hang_up()
        if self._keeper.is_alive():
            self._keeper.join(GRACE_S + 5.0)

    def _keep(self) -> None:
        pause_s = SHORTEST_PAUSE_S
        while not self._closing.is_set():
            begun = time.monotonic()
            try:
                what = f"ended with {self._run()}"
            except OSError as error:  # no memory, no process or no file left, just now
                what = f"cannot be started: {error.strerror or error}"
            if self._closing.is_set():
                return
            if time.monotonic() - begun > LASTED_S:
                pause_s = SHORTEST_PAUSE_S
            logger.error("The worker %s; another one starts in %g s.", what, pause_s)
            self._closing.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _run(self) -> int:
        with self._lock:
            self._process = process = subprocess.Popen(  # noqa: S603 - this program itself
                self._command, stdin=subprocess.PIPE, env=self._environment
            )
            os.set_blocking(process.stdin.fileno(), False)  # type: ignore[union-attr]
        if self._closing.is_set():
            self._hang_up()
        while True:
            closing = self._closing.is_set()
            try:
                return process.wait(GRACE_S if closing else 1.0)
            except subprocess.TimeoutExpired:
                if closing:
                    process.kill()

    def _hang_up(self) -> None:
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()


def main(concurrency: int) -> None:
    """The worker process: works until its standard input ends."""
    import signal

    from stretto.bootstrap import build, load_settings
    from stretto.bootstrap.logs import follow, set_up_logging
    from stretto.contexts.queue.model import EVERY_QUEUE

    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which hangs up
    settings = load_settings()
    set_up_logging(settings)
    with build(settings) as application:
        worker = application.worker(
            concurrency=concurrency, queues=EVERY_QUEUE, stuck=lambda: os._exit(1)
        )
        signal.signal(signal.SIGTERM, lambda _number, _frame: worker.abandon())

        def listen() -> None:
            while os.read(0, 4096):
                worker.dispatcher.bell.ring()
            worker.abandon()  # what is finished of its jobs is kept, and the next one goes on

        threading.Thread(target=listen, name="bell", daemon=True).start()
        worker.register()
        follow(application.events)
        application.monitoring.start("worker")
        worker.run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread may be deep in native code; what it worked on was given back


if __name__ == "__main__":
    main(int(sys.argv[1]))
