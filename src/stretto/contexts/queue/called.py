"""A worker that takes a job only when it is called: each message of a broker is one call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.dispatcher import Source
from stretto.contexts.queue.model import EVERY_QUEUE, Change, Job, JobPriority, Look, Moment
from stretto.contexts.queue.ports import JobList, JobQueue
from stretto.contexts.queue.worker import Worker

LOOK_S: Final = 0.2
"""Between two looks whether the worker is still there, while it works."""


@dataclass(slots=True, eq=False)
class Call:
    """``over`` is set when the worker is done with its ``job``, or when there is none for it."""

    job: Job | None = None
    over: threading.Event = field(default_factory=threading.Event)


class CalledSource(Source):
    """Jobs of anybody in some of the queues, as many as there are calls. Which ones is decided by
    the database as always: the most urgent, and sometimes the oldest."""

    def __init__(self, queues: tuple[JobPriority, ...] = EVERY_QUEUE) -> None:
        super().__init__(queues)
        self._waiting: deque[Call] = deque()
        self._taken: dict[tuple[JobId, int], Call] = {}

    def call(self) -> Call:
        call = Call()
        self._waiting.append(call)
        return call

    def claim(
        self,
        jobs: JobQueue,
        decide: Callable[[Job, Moment], Change],
        suspects: bool,
        before: Look | None = None,
    ) -> Change | None:
        if not self._waiting:
            return None
        call, change = self._waiting.popleft(), None
        try:
            change = super().claim(jobs, decide, suspects, before)
        finally:  # without a database, too: the job is called for again
            if change is None:
                call.over.set()
        if change is not None:
            call.job = change.job
            self._taken[change.job.id, change.job.fence] = call
        return change

    def soonest_s(self, listed: JobList) -> float | None:
        """Nobody asks the database without a call."""
        return 0.0 if self._waiting else None

    def finished(self, job: Job) -> None:
        """The worker is done with it, whatever became of it."""
        self._taken.pop((job.id, job.fence)).over.set()


class CalledWorker:
    """A worker like every other, whose hands wait for calls. It works in threads of its own, and
    does what is to be done ``at_the_end`` before it says that it has left."""

    def __init__(
        self,
        worker: Worker,
        source: CalledSource,
        *,
        at_the_end: Callable[[], object] = lambda: None,
    ) -> None:
        self.worker = worker
        worker.finished = source.finished
        self._source = source
        self._at_the_end = at_the_end
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Raises StorageUnavailable."""
        self.worker.register()
        self._thread.start()

    def answer(self) -> Job | None:
        """Work on the next job, and return it when this worker is done with it. None when there is
        none, or when the worker is leaving: the call is not lost, because the job is not."""
        if self.worker.is_leaving:
            return None
        call = self._source.call()
        self.worker.dispatcher.bell.ring()
        while self._thread.is_alive() and not call.over.wait(LOOK_S):
            pass
        return call.job

    def leave(self, *, patiently: bool, left: Callable[[], None] = lambda: None) -> None:
        """Take nothing more, and finish what is begun within the worker's grace, or else hand it
        back; at once unless ``patiently``. Then ``left`` is called, from another thread. May be
        called by a signal handler."""
        (self.worker.leave if patiently else self.worker.abandon)()

        def wait() -> None:
            self._thread.join()
            left()

        threading.Thread(target=wait, name="leaving", daemon=True).start()

    def _run(self) -> None:
        try:
            self.worker.run()
        finally:
            self._at_the_end()

    def join(self, within_s: float) -> None:
        """Wait until a worker that was told to leave has said that it is gone."""
        self._thread.join(within_s)
