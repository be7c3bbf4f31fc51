"""What the queue needs from outside, as small protocols; adapters satisfy them by shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import JobId, TranscriptId
from stretto.contexts.queue.model import (
    Change,
    Divided,
    Job,
    JobPriority,
    JobProgress,
    Lease,
    Look,
    Moment,
    Submission,
    Wanted,
    WorkerNode,
)


class JobQueue(Protocol):
    """Jobs as they are, and the only way to change them. Everything is durable when it returns.
    All methods raise StorageFull or StorageUnavailable when the database is in trouble."""

    def add(self, submission: Submission) -> Change:
        """The job as it was accepted, or, without an event, the one that its key led to before.
        Raises KeyReused when that was another request."""

    def claim(
        self,
        looks: Sequence[Look],
        *,
        take: Callable[[Job, Moment], Change],
        suspects: bool = True,
        only: JobId | None = None,
    ) -> Change | None:
        """Apply ``take`` to the first ready job that ``looks`` find and nobody else is taking.

        Equal work that is being done is not found, nor are ``suspects`` when they are not wanted;
        ``only`` leaves one job to be found.
        """

    def change(
        self,
        job_id: JobId,
        decide: Callable[[Job, Moment], Change | None],
        *,
        alongside: Callable[[], None] | None = None,
    ) -> Change | None:
        """Apply ``decide`` to the job while nobody else can change it; None changes nothing.

        What follows from it for the parts of the job, or for the one that it is a part of, happens
        in the same transaction, and is in the answer.

        ``alongside`` writes more in the same transaction, after the decision that it may.
        Both may be called again when the database undid the transaction. Raises UnknownJob.
        """

    def delete(self, job_id: JobId) -> bool:
        """With everything that is known of it, if it is over; whether it was."""


class JobList(Protocol):
    """Jobs to be looked at. Where several are asked for, or any, those that cannot be read are left
    out; ``get`` and ``parts_of`` raise JobUnreadable."""

    def get(self, job_id: JobId) -> Job | None: ...

    def parts_of(self, job_id: JobId) -> tuple[Job, ...]:
        """In the order of the file; none of a job that is not divided."""

    def page(self, wanted: Wanted) -> tuple[Job, ...]:
        """The newest first. Parts of jobs are not listed, but for those that failed."""

    def held_by(self, holder: str) -> tuple[Job, ...]:
        """What a worker works on, by what the database says."""

    def first(self, look: Look) -> Job | None:
        """What ``look`` would find for a worker that has nothing in its hands."""

    def waits(self, look: Look) -> bool:
        """Whether ``look`` finds a job that could be claimed just now, beside others."""

    def soonest_s(self, queues: Sequence[JobPriority]) -> float | None:
        """Seconds until the next queued job is ready, below 0 for one that has been; None without
        one."""


class Housekeeping(Protocol):
    """What keeps the queue going when workers die."""

    def expired(self, limit: int) -> tuple[JobId, ...]:
        """Jobs whose lease is over, the longest first."""

    def renew(self, held: Sequence[tuple[JobId, int]], lease: Callable[[Moment], Lease]) -> None:
        """The leases of the jobs with these fences; others have other holders by now."""

    def hasten(self, most_s: float) -> bool:
        """Whether jobs would have waited for more than ``most_s``, which nobody has to: the clock
        was set back. They are ready now, in the order in which they would have been."""


class Workers(Protocol):
    """Who works on jobs."""

    def beat(self, node: WorkerNode, lease: Callable[[Moment], Lease]) -> None:
        """Known, and alive until the lease is over."""

    def leave(self, worker: str) -> None: ...

    def alive(self) -> tuple[WorkerNode, ...]:
        """Those whose lease is not over, the oldest first; the others are forgotten."""


class LoggedEvent(Protocol):
    """An event with its number; None when a newer program wrote it."""

    @property
    def number(self) -> int: ...

    @property
    def event(self) -> DomainEvent | None: ...


class EventLog(Protocol):
    """What happened to each job, in order."""

    def since(self, stream: str, *, after: int, limit: int) -> Sequence[LoggedEvent]:
        """The events of a job with numbers above ``after``: the last number that was read is where
        to go on, in another process too."""

    def all_since(self, *, after: int, limit: int) -> Sequence[LoggedEvent]:
        """The same of all jobs, and of what is no job: in an order in which nothing appears before
        what is read already."""

    def newest(self) -> int:
        """The number of the newest event; 0 without any."""


class Bell(Protocol):
    """Wakes workers up. Nothing depends on it but how soon."""

    def ring(self) -> None:
        """There is something to do."""

    def wait(self, seconds: float) -> bool:
        """Whether it rang meanwhile, or since it was waited for the last time."""

    def close(self) -> None: ...


class Messages(Protocol):
    """A broker's queues, one for each priority. Each message calls one hand; whoever gets it asks
    the database what to do. All methods raise BrokerUnavailable, soon."""

    @property
    def place(self) -> str:
        """Where the broker is, without its password."""

    def send(self, job_id: JobId, priority: JobPriority) -> None: ...

    def count(self, priority: JobPriority) -> int:
        """How many wait for a worker to fetch them."""

    def close(self) -> None: ...


class ReadyJobs(Protocol):
    """Jobs that could be claimed."""

    def ready(
        self, queues: Iterable[JobPriority], *, limit: int
    ) -> Mapping[JobPriority, tuple[JobId, ...]]:
        """Of each queue, the one that is ready longest first. Raises StorageUnavailable."""


class Task(Protocol):
    """Work on one job."""

    def run(self) -> Divided | None:
        """Until it is done, and ``complete`` was called; or the parts in which it is better done.
        Raises StrettoError, Cancelled when it was stopped, and whatever a bug raises."""

    def stop(self) -> None:
        """Soon, from any thread."""


class Workshop(Protocol):
    """Where jobs are worked on."""

    def begin(
        self,
        job: Job,
        *,
        progressed: Callable[[JobProgress], None],
        complete: Callable[[TranscriptId | None, Callable[[], None]], None],
        last: bool,
    ) -> Task:
        """On the ``last`` try what cannot be had is left out, where that is possible; before, it is
        better to raise and to be called again.

        ``complete`` is called once with the transcript and what keeps it, which is then done in
        one transaction with the end of the job; it raises ClaimLost when somebody else has it.
        A part has no transcript of its own."""
