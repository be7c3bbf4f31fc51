"""``stretto worker``: works on jobs until a signal says that it is enough."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.queue.model import JobPriority
from stretto.interfaces.cli.exit_codes import ExitCode


def work(*, concurrency: int, queues: str) -> int:
    """The first SIGTERM or SIGINT lets it finish, the second one makes it leave at once. A worker
    that is stuck leaves with an exit code, for whoever started it to start another one."""
    from stretto.bootstrap import build, load_settings
    from stretto.bootstrap.logs import follow, set_up_logging

    if not 1 <= concurrency <= 64:
        raise InvalidOption(f"--concurrency is a number from 1 to 64, not {concurrency}.")
    named = [name for name in queues.split(",") if name.strip()]
    priorities = tuple(sorted({JobPriority.parse(name) for name in named}))
    if not priorities:
        raise InvalidOption("--queues needs at least one of high, medium and low.")
    settings = load_settings()
    set_up_logging(settings)
    with build(settings) as application:
        worker = application.worker(concurrency=concurrency, queues=priorities, stuck=_stuck)
        worker.register()
        follow(application.events)
        application.monitoring.start("worker")

        def signalled(number: int, frame: FrameType | None) -> None:
            if worker.is_leaving:
                worker.abandon()
            else:
                worker.leave()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signalled)
        print(f"working on {application.database} ({queues})", file=sys.stderr, flush=True)
        worker.run()
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread may be deep in native code; what it worked on was given back.
    os._exit(ExitCode.COMPLETE)


def _stuck() -> None:
    os._exit(ExitCode.FAILED)
