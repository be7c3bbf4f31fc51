"""Calls workers that wait at a broker: one message for each job that is ready, and another one when
a message was lost."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.core.errors import BrokerUnavailable, StrettoError
from stretto.contexts.queue.model import Job, JobPriority
from stretto.contexts.queue.ports import Messages, ReadyJobs

QUIET_S: Final = 5.0
"""So long nobody who submits waits again for a broker that did not answer, or was slow."""

ENOUGH: Final = 100
"""So many messages keep a machine busy until it looks again, five seconds later: it would have to
end twenty jobs a second to run out of them. Where as many wait, the database is not asked."""

SWIFT_S: Final = 0.05
"""So long each message may take: two hundred, as many as a sweep can bring about at once, keep the
thread that gives signs of life for a third of a lease."""

ROUND_S: Final = 2.0
"""So much longer messages may keep whoever sends them, one after the other. The rest is left to the
next look, which sends what has no message anyway."""

CONNECT_S: Final = 1.0
"""For no more one message counts: the first one of a process connects, which says nothing of the
next."""

SILENT_S: Final = 30.0
"""So long messages may wait while nobody here works, before something is wrong with the ears."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """How many messages were sent, and how many wait that no worker has fetched, with these."""

    sent: int
    waiting: int


@dataclass(slots=True, kw_only=True)
class Summons:
    """A message says nothing that the database does not say, so that one too many does nothing,
    and one too few is made up for by whoever sweeps."""

    messages: Messages
    clock: Callable[[], float] = time.monotonic
    _quiet_until: float = float("-inf")
    _sent_at: float = float("-inf")
    _waited_s: float = 0.0

    def call(self, job: Job) -> None:
        """Somebody for a job that was written a moment ago, if it is ready. Never raises: the job
        is in the database, and without a broker it is called for later."""
        began = self.clock()
        if job.run_at.unix_s > job.updated_at.unix_s or began < self._quiet_until:
            return
        try:
            self.messages.send(job.id, job.priority)
            self._was_sent(began)
        except BrokerUnavailable as trouble:
            self._quiet_until = self.clock() + QUIET_S
            logger.warning("The job %s is accepted; nobody was called yet: %s", job.id, trouble)
        except Exception:  # a bug; it is committed all the same
            logger.exception("The job %s is accepted; nobody was called yet.", job.id)

    def call_again(self, ready: ReadyJobs, queues: Iterable[JobPriority]) -> Called:
        """Where fewer messages wait than jobs are ready, and fewer than ``ENOUGH``, as many as are
        missing, and can be sent in ``ROUND_S``. Raises BrokerUnavailable and StorageUnavailable."""
        waiting = {queue: self.messages.count(queue) for queue in queues}
        few = [queue for queue, count in waiting.items() if count < ENOUGH]
        found = ready.ready(few, limit=ENOUGH) if few else {}
        missing = [
            (job_id, queue)
            for queue, jobs in found.items()
            for job_id in jobs[: max(0, len(jobs) - waiting[queue])]
        ]
        sent, until = 0, self.clock() + ROUND_S
        for job_id, queue in missing:
            if self.clock() >= until:
                break
            self.messages.send(job_id, queue)
            sent += 1
        return Called(sent=sent, waiting=sum(waiting.values()) + sent)

    def _was_sent(self, began: float) -> None:
        now = self.clock()
        seconds = now - max(began, self._sent_at)  # without the wait for those of other threads
        self._sent_at = now
        self._waited_s = max(0.0, self._waited_s + min(seconds, CONNECT_S) - SWIFT_S)
        if self._waited_s >= ROUND_S:
            self._waited_s, self._quiet_until = 0.0, now + QUIET_S
            logger.warning("The broker is slow; for a moment nobody is called for new jobs.")

    def close(self) -> None:
        self.messages.close()


@dataclass(slots=True, kw_only=True)
class Caller:
    """A thread beside the workers of a machine that calls again for what nobody was called for:
    jobs whose message was lost, that are to be tried again by now, that were accepted without a
    broker. ``stuck`` is called when messages wait, and this machine is ``idle``, for too long: then
    it is connected and deaf."""

    summons: Summons
    ready: ReadyJobs
    queues: tuple[JobPriority, ...]
    every_s: float
    idle: Callable[[], bool] = lambda: False
    stuck: Callable[[], None] = lambda: None
    silent_s: float = SILENT_S
    clock: Callable[[], float] = time.monotonic
    _deaf_since: float | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._run, name="caller", daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    def look(self) -> None:
        """One turn. Raises BrokerUnavailable and StorageUnavailable."""
        try:
            called = self.summons.call_again(self.ready, self.queues)
        except StrettoError:
            self._deaf_since = None
            raise
        if called.sent:
            logger.info("Workers were called again for %d jobs.", called.sent)
        deaf = called.waiting > called.sent and self.idle()  # of what is new nobody can have heard
        self._deaf_since = (self._deaf_since or self.clock()) if deaf else None
        if self._deaf_since is not None and self.clock() - self._deaf_since >= self.silent_s:
            logger.error("Messages wait, and none has come here for %.0f s.", self.silent_s)
            self.stuck()

    def _run(self) -> None:
        while not self._ended.wait(self.every_s * random.uniform(0.5, 1.0)):  # noqa: S311 - spread
            try:
                self.look()
            except StrettoError as trouble:
                logger.warning("Nobody can be called again just now: %s", trouble)
            except Exception:
                logger.exception("Nobody can be called again just now.")
