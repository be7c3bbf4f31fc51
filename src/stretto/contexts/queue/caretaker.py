"""The second thread of a worker: signs of life, wishes to cancel, the jobs of the dead."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.core.errors import StorageBusy, StrettoError, Unavailable
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.dispatcher import JobDispatcher
from stretto.contexts.queue.model import WorkerNode
from stretto.contexts.queue.ports import Housekeeping, JobList, Workers
from stretto.contexts.queue.retry import RetryHandler
from stretto.contexts.queue.running import RunningJob, Stop

MOST_AT_ONCE: Final = 200

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Caretaker:
    """Trouble with the database is logged and left for the next turn: whoever cannot renew its
    leases loses its jobs, and is told so by the fence.

    ``node`` describes the worker as it is; ``make_room`` and ``checked`` are called in each turn.
    """

    dispatcher: JobDispatcher
    listed: JobList
    housekeeping: Housekeeping
    workers: Workers
    retries: RetryHandler
    node: Callable[[], WorkerNode]
    running: Callable[[], Iterable[RunningJob]]
    make_room: Callable[[], None] = lambda: None
    checked: Callable[[], None] = lambda: None
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _due: dict[str, float] = field(default_factory=dict)
    _refused: set[JobId] = field(default_factory=set)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="caretaker", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """After the turn it is in."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def beat(self) -> None:
        """Renew the leases of what is being worked on, and of the worker itself."""
        lease = self.dispatcher.terms.lease
        held = [(one.job.id, one.job.fence) for one in self.running()]
        if held:
            self.housekeeping.renew(held, lease)
        self.workers.beat(self.node(), lease)

    def look(self) -> None:
        """See who is to stop, and say how far the others are."""
        mine = tuple(self.running())
        if not mine:
            return
        held = {job.id: job for job in self.listed.held_by(self.node().id)}
        for one in mine:
            found = held.get(one.job.id)
            if found is None or found.fence != one.job.fence:
                one.stop(Stop.LOST)
            elif found.cancelling:
                one.stop(Stop.CANCELLED)
            else:
                one.tell()

    def sweep(self) -> None:
        """Give the jobs of workers without a sign of life to others, and see that no job waits for
        a clock that was set back."""
        self._carefully(self._hasten)
        expired = self.housekeeping.expired(MOST_AT_ONCE)
        self._refused.intersection_update(expired)
        end = time.monotonic() + self.dispatcher.terms.beat_s
        for job_id in sorted(expired, key=self._refused.__contains__):
            self._give_on(job_id)
            if time.monotonic() >= end:
                return  # signs of life are due; those that did not refuse come first the next time

    def _hasten(self) -> None:
        if self.housekeeping.hasten(self.retries.policy.config.cap_s):
            logger.warning("The clock was set back; jobs that would have waited for it are ready.")

    def _give_on(self, job_id: JobId) -> None:
        """One that cannot be changed, because it cannot be read or somebody has locked it, is in
        nobody's way."""
        try:
            self.dispatcher.change(job_id, self.retries.after_silence)
        except Unavailable as trouble:
            if not isinstance(trouble, StorageBusy):
                raise  # the others would fare no better
            logger.warning("The job %s of a dead worker waits: %s", job_id, trouble)
        except Exception:
            logger.exception("The job %s of a dead worker cannot be given on.", job_id)
        else:
            return
        self._refused.add(job_id)

    def _run(self) -> None:
        terms = self.dispatcher.terms
        chores = (
            ("beat", terms.beat_s, self.beat),
            ("sweep", terms.sweep_s, self.sweep),
            ("look", terms.look_s, self.look),
            ("room", terms.look_s, self.make_room),
        )
        pause_s = min(terms.beat_s, terms.sweep_s, terms.look_s)
        while not self._ended.wait(pause_s):
            now = time.monotonic()
            for name, every_s, chore in chores:
                if now >= self._due.get(name, 0.0):
                    self._due[name] = now + every_s
                    self._carefully(chore)
            self._carefully(self.checked)

    def _carefully(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except StrettoError as error:
            logger.warning("A worker could not look after its jobs: %s", error)
        except Exception:
            logger.exception("A worker could not look after its jobs.")
