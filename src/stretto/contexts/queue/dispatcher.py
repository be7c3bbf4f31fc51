"""Where jobs go and where workers get them: three named queues, and the changes in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from threading import Lock

from stretto.contexts.core.bus import Publish
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import (
    EVERY_QUEUE,
    Change,
    Job,
    JobPriority,
    LeaseTerms,
    Look,
    Moment,
    Submission,
)
from stretto.contexts.queue.ports import Bell, JobList, JobQueue
from stretto.contexts.queue.priority import PriorityManager
from stretto.contexts.queue.transitions import claimed

Decide = Callable[[Job, Moment], Change | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDispatcher:
    """The queue for all who change something in it: what is committed is published, and workers
    are woken up for what is ready: those that listen to ``bell``, and those that ``summon`` calls
    from elsewhere for one job."""

    jobs: JobQueue
    bell: Bell
    publish: Publish
    summon: Callable[[Job], None] = lambda _: None
    terms: LeaseTerms = field(default_factory=LeaseTerms)

    def accept(self, submission: Submission) -> Job:
        """Durable when it returns. Raises KeyReused."""
        return self._told(self.jobs.add(submission))

    def change(
        self, job_id: JobId, decide: Decide, *, alongside: Callable[[], None] | None = None
    ) -> Job | None:
        """None when ``decide`` refused. Raises UnknownJob."""
        change = self.jobs.change(job_id, decide, alongside=alongside)
        return self._told(change) if change else None

    def take(
        self, holder: str, *, source: Source, suspects: bool, before: Look | None = None
    ) -> Job | None:
        """The next job for ``holder``, if there is one; what ``before`` finds comes first."""

        def decide(job: Job, now: Moment) -> Change:
            return claimed(job, now, holder=holder, lease=self.terms.lease(now))

        change = source.claim(self.jobs, decide, suspects, before)
        return self._told(change) if change else None

    def _told(self, change: Change) -> Job:
        for one in change.all():
            for event in one.events:
                self.publish(event)
        queued = [o.job for o in change.all() if o.events and o.job.status is JobStatus.QUEUED]
        if queued:
            self.bell.ring()
        for job in queued:
            self.summon(job)
        return change.job


class Source:
    """Jobs of anybody in some of the queues."""

    def __init__(
        self,
        queues: tuple[JobPriority, ...] = EVERY_QUEUE,
        *,
        priorities: PriorityManager | None = None,
    ) -> None:
        self.queues = queues
        self._priorities = priorities or PriorityManager()
        self._turns = count()

    def claim(
        self,
        jobs: JobQueue,
        decide: Callable[[Job, Moment], Change],
        suspects: bool,
        before: Look | None = None,
    ) -> Change | None:
        looks = self._priorities.looks(self.queues, turn=next(self._turns))
        first = (before,) if before else ()
        return jobs.claim((*first, *looks), take=decide, suspects=suspects)

    def soonest_s(self, listed: JobList) -> float | None:
        """Seconds until there may be one."""
        return listed.soonest_s(self.queues)


class OwnJobs(Source):
    """The jobs of this process alone, the first one first: nobody else's keep it from ending."""

    def __init__(self) -> None:
        super().__init__(())
        self._waiting: list[JobId] = []
        self._taken: list[JobId] = []
        self._elsewhere: set[JobId] = set()
        self._lock = Lock()

    def add(self, job_id: JobId, *, made_here: bool = True) -> None:
        """One that was made elsewhere is worked on when nobody else does."""
        with self._lock:
            if job_id in self._taken or job_id in self._waiting:
                return
            self._waiting.append(job_id)
            if not made_here:
                self._elsewhere.add(job_id)

    def known(self) -> list[JobId]:
        """Those that may not be over."""
        with self._lock:
            return [*self._taken, *self._waiting]

    def is_made_here(self, job_id: JobId) -> bool:
        return job_id not in self._elsewhere

    def claim(
        self,
        jobs: JobQueue,
        decide: Callable[[Job, Moment], Change],
        suspects: bool,
        before: Look | None = None,
    ) -> Change | None:
        with self._lock:
            waiting = tuple(self._waiting)
        for job_id in waiting:
            change = jobs.claim((), take=decide, suspects=suspects, only=job_id)
            if change is not None:
                with self._lock:
                    self._waiting.remove(job_id)
                    self._taken.append(job_id)
                return change
        return None

    def soonest_s(self, listed: JobList) -> float | None:
        """Also sorts out which are over, and which were taken and are to be taken again."""
        found = {job_id: listed.get(job_id) for job_id in self.known()}
        queued = {i for i, job in found.items() if job and job.status is JobStatus.QUEUED}
        over = {i for i, job in found.items() if job is None or job.is_over}
        with self._lock:
            again = [job_id for job_id in self._taken if job_id in queued]
            self._taken = [i for i in self._taken if i not in queued | over]
            self._waiting = [i for i in (*again, *self._waiting) if i not in over]
        return 0.0 if queued else None
