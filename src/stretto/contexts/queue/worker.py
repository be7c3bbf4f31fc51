"""Works on jobs until it is told to leave: claims one when a hand is free, and stops without losing
any."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from stretto.contexts.core.errors import StrettoError, Unavailable
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.log_context import working_for
from stretto.contexts.queue.caretaker import Caretaker
from stretto.contexts.queue.dispatcher import JobDispatcher, Source
from stretto.contexts.queue.model import Job, JobProgress, Look, WorkerNode, WorkerState
from stretto.contexts.queue.ports import Housekeeping, JobList, Workers, Workshop
from stretto.contexts.queue.retry import RetryHandler
from stretto.contexts.queue.running import RunningJob, Stop
from stretto.contexts.queue.suspects import SuspectWatch

SHORTEST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0
"""Between two questions whether there is something to do, when no bell rings: half a query a
second, with two for the sweep every five seconds."""

SLICE_S: Final = 0.2
"""So soon a worker notices that it is to leave, whatever it is waiting for."""

GRACE_S: Final = 25.0
STOPPING_S: Final = 1.5
STUCK_S: Final = 60.0

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Worker:
    """One process's hands. ``run`` returns after ``leave``; ``leave`` and ``abandon`` may be called
    by a signal handler. ``parts_at_once`` parts of files are as much work as one file. ``stuck`` is
    called by the watchdog, from another thread, when the worker has not come round for a minute (a
    database that is away is waited for while jobs are worked on), or took nothing for as long while
    jobs were ready; ``finished`` when it is done with a job, as ever it ended."""

    node: WorkerNode
    source: Source
    dispatcher: JobDispatcher
    listed: JobList
    housekeeping: Housekeeping
    workers: Workers
    workshop: Workshop
    retries: RetryHandler = field(default_factory=RetryHandler)
    parts_at_once: int = 1
    grace_s: float = GRACE_S
    longest_pause_s: float = LONGEST_PAUSE_S
    stuck_s: float = STUCK_S
    stuck: Callable[[], None] = lambda: None
    finished: Callable[[Job], None] = lambda _: None
    _leaving: bool = False
    _abandoned: bool = False
    _came_round: float = 0.0
    _busy_at: float = 0.0
    _looked_at: float = 0.0
    _pause_s: float = SHORTEST_PAUSE_S
    _hands: dict[RunningJob, threading.Thread] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _suspects: SuspectWatch = field(init=False)

    def __post_init__(self) -> None:
        self._suspects = SuspectWatch(
            node=self.node,
            listed=self.listed,
            workers=self.workers,
            every_s=self.dispatcher.terms.sweep_s,
        )

    def run(self) -> None:
        """Work until somebody wants the worker to leave."""
        caretaker = self._caretaker()
        self._came_round = self._busy_at = self._looked_at = time.monotonic()
        caretaker.start()
        try:
            while not self._leaving:
                self._turn()
        finally:
            self._drain(caretaker)

    def register(self) -> None:
        """Be known to others before there is something to do. Raises StorageUnavailable."""
        self._caretaker().beat()

    def leave(self) -> None:
        """Take nothing more; what is being worked on may end within ``grace_s``."""
        self._leaving = True

    def abandon(self) -> None:
        """Leave at once; what is being worked on goes back."""
        self._leaving = self._abandoned = True

    @property
    def is_leaving(self) -> bool:
        return self._leaving

    def running(self) -> tuple[RunningJob, ...]:
        with self._lock:
            return tuple(self._hands)

    def progress(self, job_id: JobId) -> JobProgress | None:
        """Of a job that it works on just now, as it is this very moment."""
        return next((one.progress for one in self.running() if one.job.id == job_id), None)

    def stop(self, job_id: JobId) -> None:
        """Somebody cancelled the job, and does not want to wait until that is noticed."""
        for one in self.running():
            if one.job.id == job_id:
                one.stop(Stop.CANCELLED)

    def _caretaker(self) -> Caretaker:
        return Caretaker(
            dispatcher=self.dispatcher,
            listed=self.listed,
            housekeeping=self.housekeeping,
            workers=self.workers,
            retries=self.retries,
            node=self._described,
            running=self.running,
            make_room=self._make_room,
            checked=self._watch,
        )

    def _described(self) -> WorkerNode:
        state = WorkerState.DRAINING if self._leaving else WorkerState.WORKING
        return replace(self.node, state=state, running=len(self.running()))

    def _turn(self) -> None:
        if self._has_a_hand_free():
            try:
                job = self._next()
                self._came_round = time.monotonic()
            except Unavailable as trouble:
                logger.warning("No job can be claimed just now: %s", trouble)
                job, self._pause_s = None, self.longest_pause_s
                if self.running():  # they go on meanwhile; to end itself would be their crash
                    self._came_round = time.monotonic()
            except Exception:  # a bug; the watchdog has the last word
                logger.exception("No job can be claimed just now.")
                job, self._pause_s = None, self.longest_pause_s
            if job is not None:
                self._pause_s = SHORTEST_PAUSE_S
                self._begin(job)
                return
        else:
            self._came_round = time.monotonic()
        self._wait()

    def _has_a_hand_free(self) -> bool:
        """A suspect is worked on alone."""
        running = self.running()
        return not self._is_full(running) and not any(o.job.is_suspect for o in running)

    def _is_full(self, running: Sequence[RunningJob]) -> bool:
        parts = sum(one.job.parent is not None for one in running)
        files = len(running) - parts
        hands = self.node.concurrency * self.parts_at_once
        return files >= self.node.concurrency or files * self.parts_at_once + parts >= hands

    def _next(self) -> Job | None:
        """After a while without a job it only asks whether there is one: that costs a read."""
        if self._pause_s > SHORTEST_PAUSE_S:
            soonest_s = self.source.soonest_s(self.listed)
            if soonest_s is None or soonest_s > 0:
                self._pause_s = min(self._pause_s, soonest_s or self.longest_pause_s)
                return None
        if not self.running():
            return self._take(suspects=True, before=self._suspects.found())
        return None if self._suspects.look() else self._take(suspects=False)

    def _take(self, *, suspects: bool, before: Look | None = None) -> Job | None:
        return self.dispatcher.take(
            self.node.id, source=self.source, suspects=suspects, before=before
        )

    def _begin(self, job: Job) -> None:
        one = RunningJob(
            job, dispatcher=self.dispatcher, workshop=self.workshop, retries=self.retries
        )
        # It must not keep the process from ending: what it works on can be taken up elsewhere.
        thread = threading.Thread(target=self._work, args=(one,), name="job", daemon=True)
        with self._lock:
            self._hands[one] = thread
        try:
            thread.start()
        except RuntimeError as cause:  # the system gives out no more threads
            logger.warning("The job %s goes back: %s", job.id, cause)
            with self._lock:
                del self._hands[one]
            one.hand_back()
            self.finished(job)
            self._pause_s = self.longest_pause_s

    def _work(self, one: RunningJob) -> None:
        try:
            with working_for(job=str(one.job.id)):
                one.run()
        finally:
            with self._lock:
                del self._hands[one]
            self.finished(one.job)
            self.dispatcher.bell.ring()

    def _wait(self) -> None:
        """For a bell, or until it is time to ask again."""
        until = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, self.longest_pause_s)
        while not self._leaving and (rest_s := until - time.monotonic()) > 0:
            if self.dispatcher.bell.wait(min(rest_s, SLICE_S)):
                self._pause_s = SHORTEST_PAUSE_S
                return

    def _make_room(self) -> None:
        """Hand the least urgent job back when a more urgent one waits and no hand is free: what is
        finished of it is kept, so that little more than reading its file is done again."""
        running = self.running()
        if self._leaving or not self._is_full(running):
            return
        least = max(running, key=lambda one: (one.job.priority, one.job.run_at))
        urgent = tuple(queue for queue in self.source.queues if queue < least.job.priority)
        waited_s = self.dispatcher.terms.look_s * random.uniform(1.0, 3.0)  # noqa: S311 - not all at once
        if urgent and self.listed.waits(Look(queues=urgent, waited_s=waited_s)):
            least.stop(Stop.LEAVING)

    def _watch(self) -> None:
        if self._leaving:
            return
        if time.monotonic() - self._came_round > self.stuck_s:
            logger.error("The worker has not come round for %.0f s.", self.stuck_s)
            self.stuck()
        elif self._starves():
            logger.error("Jobs are ready, and for %.0f s the worker took none.", self.stuck_s)
            self.stuck()

    def _starves(self) -> bool:
        """Whether it has had nothing to do for long while something was there to be done."""
        now = time.monotonic()
        if self.running():
            self._busy_at = self._looked_at = now
        if now - self._busy_at <= self.stuck_s or now - self._looked_at <= self.stuck_s / 6:
            return False
        self._looked_at = now
        try:
            return self.listed.waits(Look(queues=self.source.queues, waited_s=self.stuck_s))
        except StrettoError as trouble:
            logger.warning("The worker cannot see whether jobs are ready: %s", trouble)
            return False

    def _drain(self, caretaker: Caretaker) -> None:
        self._leaving = True
        until = time.monotonic() + self.grace_s
        self._wait_for_hands(lambda: time.monotonic() < until and not self._abandoned)
        for one in self.running():
            one.stop(Stop.LEAVING)
        until = time.monotonic() + STOPPING_S
        self._wait_for_hands(lambda: time.monotonic() < until)
        caretaker.end()
        try:
            for one in self.running():  # deep in something that cannot be interrupted
                one.hand_back()
            self.workers.leave(self.node.id)
        except StrettoError as trouble:
            logger.warning("What was not done is taken up when its lease is over: %s", trouble)

    def _wait_for_hands(self, patient: Callable[[], bool]) -> None:
        while self.running() and patient():
            time.sleep(0.02)
