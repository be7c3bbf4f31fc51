"""The nouns of the queue: jobs, priorities, leases, workers and results. Frozen and pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from stretto.contexts.core.errors import InvalidOption, StrettoError
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import JobId, Timestamp, TranscriptId
from stretto.contexts.core.job import JobStatus, ProcessingJob
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.queue.division import Division, Part

SUSPICIOUS_CRASHES: Final = 2
"""A job on which so many workers died runs alone, so that no other job dies with it."""

LONGEST_KEY: Final = 200
LONGEST_TRACE: Final = 4000


class JobPriority(IntEnum):
    """The smaller the sooner; each is a queue of its own that a worker may serve or not."""

    HIGH = 0
    MEDIUM = 1
    LOW = 2

    @classmethod
    def parse(cls, text: str) -> JobPriority:
        """Raises InvalidOption for anything but high, medium and low."""
        try:
            return cls[text.strip().upper()]
        except KeyError as cause:
            raise InvalidOption(f"A priority is high, medium or low, not {text[:32]!r}.") from cause

    def __str__(self) -> str:
        return self.name.lower()


EVERY_QUEUE: Final = tuple(JobPriority)


class DeathCause(StrEnum):
    """Why a job is in the dead-letter queue."""

    REFUSED = "refused"
    """Trying again would not help: the file or the request is at fault."""

    ERRORS = "errors"
    """It failed too often."""

    CRASHES = "crashes"
    """Too many workers died on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWork:
    """What is to be done: one file, transcribed by an engine with options.

    ``engine`` and ``model`` are settings of whoever submitted; empty means the worker's own.
    ``part`` is the chunk of it that is to be done, None for all of them.
    """

    path: str
    options: TranscriptionOptions = field(default_factory=TranscriptionOptions)
    engine: str = ""
    model: str = ""
    part: Part | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a job is, by seconds of audio; ``fraction`` is in [0, 1]."""

    fraction: float = 0.0
    done_s: float = 0.0
    total_s: float | None = None
    chunks_done: int = 0
    chunks_known: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """The last thing that went wrong: the class of the error, its message, where it came from."""

    kind: str
    message: str
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What came of a job that is over: a transcript, or an error, or neither when it was
    cancelled."""

    transcript_id: TranscriptId | None = None
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by the one clock that all workers of a database have in common.

    ``at`` is for people and for delays, ``lease_s`` for leases: it never jumps where the database
    can promise that. Leases of another ``boot`` are over.
    """

    at: Timestamp
    lease_s: float
    boot: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job until ``until_s`` of the lease clock of ``boot``."""

    until_s: float
    boot: str = ""

    def is_over(self, now: Moment) -> bool:
        return self.boot != now.boot or self.until_s <= now.lease_s


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """How long a claim holds without a sign of life, and how often the signs come. Seconds.

    ``look_s`` is how often a busy worker asks whether its jobs are cancelled, and says how far
    they are.
    """

    lease_s: float = 30.0
    beat_s: float = 10.0
    sweep_s: float = 5.0
    look_s: float = 1.0

    def lease(self, now: Moment) -> Lease:
        return Lease(now.lease_s + self.lease_s, now.boot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request to transcribe one file, and everything that was decided about it so far.

    ``fence`` counts the claims: whoever writes about a job says which claim gives the right to,
    and an older one gives none. ``work_key`` is equal for equal work. ``run_at`` is the moment
    before which it is not to be claimed. ``errors`` counts failed tries, ``outages`` those that
    met a service in trouble, ``crashes`` workers that vanished since ``crashes_since`` without
    finishing more than ``crashed_after`` chunks. ``cancelling`` is a wish that its worker has yet
    to see, ``callback`` a URL that wants to hear of the end. A job with a ``division`` waits for
    its parts, which are jobs with this one as their ``parent``, and is claimed again to put them
    together.
    """

    id: JobId
    file: str
    work: FileWork
    work_key: str
    priority: JobPriority = JobPriority.MEDIUM
    status: JobStatus = JobStatus.QUEUED
    created_at: Timestamp
    updated_at: Timestamp
    run_at: Timestamp
    fence: int = 0
    holder: str = ""
    lease: Lease | None = None
    errors: int = 0
    outages: int = 0
    crashes: int = 0
    crashes_since: Timestamp | None = None
    crashed_after: int = 0
    cancelling: bool = False
    progress: JobProgress = JobProgress()
    transcript_id: TranscriptId | None = None
    error: JobError | None = None
    cause: DeathCause | None = None
    callback: str = field(default="", repr=False)
    parent: JobId | None = None
    division: Division | None = None

    @property
    def is_waiting(self) -> bool:
        """For its parts: at work, but not in the hands of a worker."""
        return self.status is JobStatus.PROCESSING and self.lease is None

    @property
    def is_over(self) -> bool:
        return self.status in FINAL

    @property
    def result(self) -> JobResult | None:
        """None as long as it is not over."""
        if not self.is_over:
            return None
        error = self.error if self.status is JobStatus.FAILED else None
        return JobResult(transcript_id=self.transcript_id, error=error)

    @property
    def is_suspect(self) -> bool:
        return self.crashes >= SUSPICIOUS_CRASHES

    @property
    def owner(self) -> str:
        """Whose it is; empty on a machine that has one user."""
        return self.work.options.scope

    @property
    def attempts(self) -> int:
        """How often a worker took it up."""
        return self.fence

    def tracking(self, error: StrettoError | None = None) -> ProcessingJob:
        """As much of it as those have to know who only wait for the transcript."""
        return ProcessingJob(
            id=self.id,
            file=self.file,
            status=self.status,
            created_at=self.created_at,
            transcript_id=self.transcript_id,
            error=error,
        )


FINAL: Final = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class Change:
    """A job as it is from now on, and the events that report it: written in one transaction, with
    the changes of other jobs ``besides``."""

    job: Job
    events: tuple[DomainEvent, ...] = ()
    besides: tuple[Change, ...] = ()

    def all(self) -> tuple[Change, ...]:
        return (self, *self.besides)


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """What a worker found out about a long file: the parts it is best done in, by all workers."""

    division: Division
    works: tuple[FileWork, ...]
    known_s: float = 0.0
    """Seconds of it that are in the cache, and are no part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that is to be accepted. ``key`` is the caller's own word for the request: sent again,
    it leads to the same job; ``digest`` says whether it is the same request."""

    job: Job
    key: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        if len(self.key) > LONGEST_KEY or not self.key.isprintable():
            raise InvalidOption(
                f"An idempotency key is at most {LONGEST_KEY} printable characters."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Where a claim looks for a job: in ``queues``, among those that were ready ``before_s``
    seconds ago."""

    queues: tuple[JobPriority, ...]
    waited_s: float = 0.0


class WorkerState(StrEnum):
    WORKING = "working"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNode:
    """One process that works on jobs. ``running`` is how many it works on just now."""

    id: str
    host: str
    pid: int
    concurrency: int
    queues: tuple[JobPriority, ...]
    started_at: Timestamp
    state: WorkerState = WorkerState.WORKING
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A page of jobs, the newest first; ``after`` is the last one of the page before. ``owner``
    None means: everybody's."""

    limit: int = 20
    status: JobStatus | None = None
    owner: str | None = None
    after: Job | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= 1000:
            raise InvalidOption(f"A list shows 1 to 1000 jobs, not {self.limit}.")
