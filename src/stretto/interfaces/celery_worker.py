"""What a Celery worker of the fleet does: in the process that hears the broker, and in those that
work.

With the pool of processes the first one hears, calls again and tells its children when to leave;
each child is a worker of its own. With the pool of threads all of that is one process.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from celery import Celery, current_app, signals
from celery.concurrency import get_implementation

from stretto.contexts.core.errors import InvalidOption, StrettoError
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.model import EVERY_QUEUE, JobPriority

if TYPE_CHECKING:
    from stretto.contexts.queue.called import CalledWorker
    from stretto.contexts.queue.summons import Caller

TASK: Final = "stretto.work"
POOLS: Final = frozenset({"prefork", "thread"})
NOTHING: Final = "nothing to do"
CONSUMER: Final = "stretto.interfaces.celery_consumer:FreeHandsConsumer"
"""By its name: only the first process needs it."""

QUEUES: Final = "stretto_queues"
"""Under this name the children find in their configuration which queues the command line named."""

LEAVE: Final = signal.SIGUSR2
"""From the first process to its children: take nothing more, and finish within the grace."""

HURRY_S: Final = 2.2
"""So long a process that is to leave at once may take to hand back what it has, and the first one
waits for its children."""

LAST_S: Final = 3.0
"""So long Celery may take to end when nothing is worked on any more."""


class Wiring(Protocol):
    """How the parts are made; ``bootstrap.fleet`` for the settings of this process."""

    def called_worker(self, *, concurrency: int, queues: tuple[JobPriority, ...]) -> CalledWorker:
        """Raises StrettoError."""

    def caller(self, queues: tuple[JobPriority, ...], *, idle: Callable[[], bool]) -> Caller: ...

    def queue_named(self, name: str) -> JobPriority:
        """Raises InvalidOption."""

    def log_lines(self) -> logging.Formatter: ...


class FleetProcess:
    """One process of a Celery worker, whichever it is; ``attach`` connects it with Celery."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._worker: CalledWorker | None = None
        self._lock = threading.Lock()
        self._queues = EVERY_QUEUE
        self._celery: Any = None
        self._is_threaded = self._is_child = False
        self._told = 0

    def attach(self, app: Celery) -> None:
        app.task(self.work, name=TASK, throws=(StrettoError,), shared=True)
        if not app.conf.worker_disable_prefetch:  # which Celery offers for Redis alone
            app.conf.worker_consumer = CONSUMER
        for sent, handler in (
            (signals.after_setup_logger, self._log),
            (signals.after_setup_task_logger, self._log),
            (signals.worker_init, self._prepare),
            (signals.worker_ready, self._begin),
            (signals.worker_process_init, self._begin_child),
            (signals.worker_process_shutdown, self._end_child),
            (signals.worker_shutting_down, self._shut_down),
            (signals.worker_shutdown, self._end),
        ):
            sent.connect(handler, weak=False)

    def work(self, job_id: str) -> str:
        """The task: somebody is wanted for a job. Returns the id of the one that was worked on,
        which is this or a more urgent one. Raises InvalidIdentifier for what is no id."""
        JobId.parse(str(job_id))
        if self._is_child:
            self._listen()
        job = self._made().answer()
        return str(job.id) if job else NOTHING

    def _made(self) -> CalledWorker:
        with self._lock:
            if self._worker is None:
                hands = self._celery.concurrency if self._is_threaded else 1
                worker = self._wiring.called_worker(concurrency=hands, queues=self._queues)
                worker.start()
                self._worker = worker
            return self._worker

    def _log(self, logger: logging.Logger, **_: Any) -> None:
        """Where it goes and from which level on is Celery's, what a line is like is ours."""
        for handler in logger.handlers:
            handler.setFormatter(self._wiring.log_lines())

    def _prepare(self, sender: Any, **_: Any) -> None:
        """Before anything is started: what the command line asked for, and whether that works."""
        try:
            names = sender.app.amqp.queues.consume_from
            self._queues = tuple(sorted(self._wiring.queue_named(name) for name in names))
            pool = get_implementation(sender.pool_cls).__module__.rpartition(".")[2]
            if pool not in POOLS:
                raise InvalidOption("The pool is prefork or threads.")
            if pool == "prefork" and sender.pool_start_method != "spawn":
                raise InvalidOption(
                    "A process that has loaded an engine cannot be forked; leave out "
                    "--pool-start-method."
                )
        except StrettoError as error:
            raise SystemExit(error.message) from error
        self._celery, self._is_threaded = sender, pool == "thread"
        sender.app.conf[QUEUES] = [int(queue) for queue in self._queues]

    def _begin(self, **_: Any) -> None:
        from celery.worker import state

        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))  # Ctrl-C is no other wish
        try:
            self._wiring.caller(self._queues, idle=lambda: not state.reserved_requests).start()
            if self._is_threaded:
                self._made()
        except StrettoError as error:
            raise SystemExit(error.message) from error

    def _begin_child(self, **_: Any) -> None:
        queues = current_app.conf.get(QUEUES) or EVERY_QUEUE
        self._queues = tuple(JobPriority(number) for number in queues)
        self._is_child = True
        self._listen()
        self._made()

    def _listen(self) -> None:
        """Also before each job: after a child is begun, its pool takes the signals for itself. A
        child that has nothing to hand back may go as the pool has it go."""
        signal.signal(LEAVE, lambda *_: self._leave(patiently=True))
        signal.signal(signal.SIGTERM, lambda *_: self._leave(patiently=False))

    def _end_child(self, **_: Any) -> None:
        """A child that is not needed any more has nothing in its hands."""
        if self._worker is not None and not self._worker.worker.is_leaving:
            gone = threading.Event()
            self._worker.leave(patiently=True, left=gone.set)
            gone.wait(LAST_S)

    def _shut_down(self, how: str = "Warm", **_: Any) -> None:
        """In the first process, for each signal that it gets."""
        self._told += 1
        patiently = how == "Warm" and self._told == 1
        if self._is_threaded:
            self._leave(patiently=patiently)
            return
        pool = getattr(self._celery, "pool", None)
        for child in pool.info["processes"] if pool else ():
            with suppress(ProcessLookupError):
                os.kill(child, LEAVE if patiently else signal.SIGTERM)
        if not patiently:
            _exit_after(HURRY_S)

    def _end(self, **_: Any) -> None:
        """Celery ends when the last task does, which is a moment before the worker has left."""
        if self._is_threaded and self._worker is not None:
            self._worker.join(LAST_S)

    def _leave(self, *, patiently: bool) -> None:
        if not patiently:  # whatever keeps it: what was not handed back is found by its lease
            _exit_after(HURRY_S)
        if self._worker is not None:
            left = (lambda: _exit_after(LAST_S)) if patiently else (lambda: os._exit(0))
            self._worker.leave(patiently=patiently, left=left)


def _exit_after(seconds: float) -> None:
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()
