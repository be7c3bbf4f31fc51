"""Everything that can happen to a job, as pure functions over one table of allowed transitions.

Each takes the job as it is and answers how it is afterwards, or None when the claim in whose name
it was asked gives no right to it any more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from stretto.contexts.core.errors import JobNotInState
from stretto.contexts.core.events import (
    DomainEvent,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobHandedBack,
    JobPartCompleted,
    JobProgressed,
    JobQueued,
    JobRetried,
    JobStarted,
)
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import (
    Change,
    Job,
    JobError,
    JobProgress,
    Lease,
    Moment,
)
from stretto.contexts.queue.policy import RetryPolicy

TRANSITIONS: Final = {
    JobStatus.QUEUED: frozenset({JobStatus.PROCESSING, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset(
        {JobStatus.QUEUED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.COMPLETED: frozenset({JobStatus.PROCESSING}),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED, JobStatus.PROCESSING}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}
"""The last three are left only when somebody asks for it: a completed job, when a part of it that
was given up is tried again."""

_FREE: Final[dict[str, Any]] = {"holder": "", "lease": None, "cancelling": False}
GONE: Final = "The worker that had the job is gone."


def accepted(job: Job, now: Moment) -> Change:
    """As it enters the queue, by the clock of the database."""
    timed = replace(job, created_at=now.at, updated_at=now.at, run_at=now.at)
    return Change(timed, (JobQueued(at=now.at, job_id=job.id, file=job.file),))


def claimed(job: Job, now: Moment, *, holder: str, lease: Lease) -> Change:
    if job.status is not JobStatus.QUEUED:
        raise JobNotInState(f"The job {job.id} is {job.status}; only a queued one is claimed.")
    taken = moved(job, JobStatus.PROCESSING, now, fence=job.fence + 1, holder=holder, lease=lease)
    started = JobStarted(
        at=now.at,
        job_id=job.id,
        worker=holder,
        attempt=taken.fence,
        priority=str(job.priority),
        waited_s=max(0.0, now.at.unix_s - job.run_at.unix_s),
    )
    return Change(taken, (started,))


def progressed(job: Job, now: Moment, *, fence: int, progress: JobProgress) -> Change | None:
    if not is_held(job, fence):
        return None
    event = progress_event(job, progress, now)
    return Change(replace(job, progress=progress, updated_at=now.at), (event,))


def progress_event(job: Job, progress: JobProgress, now: Moment) -> JobProgressed:
    return JobProgressed(
        at=now.at,
        job_id=job.id,
        fraction=progress.fraction,
        done_s=progress.done_s,
        total_s=progress.total_s,
        chunks_done=progress.chunks_done,
        chunks_known=progress.chunks_known,
    )


def completed(
    job: Job, now: Moment, *, fence: int, transcript_id: TranscriptId | None, progress: JobProgress
) -> Change | None:
    """``transcript_id`` is None for a part, whose answer is in the cache."""
    if not is_held(job, fence):
        return None
    done = moved(
        job,
        JobStatus.COMPLETED,
        now,
        transcript_id=transcript_id,
        progress=replace(progress, fraction=1.0),
        error=None,
        crashes=0,
        crashes_since=None,
    )
    return Change(done, (_completion(done, now),))


def failed(
    job: Job,
    now: Moment,
    *,
    fence: int,
    error: JobError,
    retryable: bool,
    policy: RetryPolicy,
    outage: bool = False,
) -> Change | None:
    """Tried again later, or given up. An ``outage`` of a service is nothing that the job did wrong,
    and is counted by itself."""
    if not is_held(job, fence):
        return None
    if job.cancelling:
        return _cancelled(job, now)
    met = replace(job, error=error, crashes=0, crashes_since=None)
    if outage:
        tries = job.outages + 1
        counted, cause = replace(met, outages=tries), policy.death_by_outage(tries)
    else:
        tries = job.errors + 1
        cause = policy.death_by_error(tries, retryable=retryable)
        counted = replace(met, errors=tries)
    if cause is not None:
        dead = moved(counted, JobStatus.FAILED, now, cause=cause)
        event = JobFailed(at=now.at, job_id=job.id, reason=error.message, cause=cause.value)
        return Change(dead, (event,))
    delay_s = policy.outage_delay_s(tries) if outage else policy.delay_s(tries)
    return _again(counted, now, delay_s=delay_s, reason=error.message, attempt=tries)


def expired(job: Job, now: Moment, *, policy: RetryPolicy) -> Change | None:
    """Its worker gave no sign of life: the next one may try, unless too many died on it."""
    if job.status is not JobStatus.PROCESSING or job.lease is None or not job.lease.is_over(now):
        return None
    if job.cancelling:
        return _cancelled(job, now)
    done = job.progress.chunks_done
    # Whoever finished a chunk more died of another one, or of something else.
    before = job.crashes if done <= job.crashed_after else 0
    crashes, since = policy.crash_counted(before, job.crashes_since, now=now.at)
    error = JobError(kind="WorkerGone", message=GONE)
    counted = replace(job, crashes=crashes, crashes_since=since, crashed_after=done, error=error)
    cause = policy.death_by_crash(crashes)
    if cause is not None:
        reason = f"{crashes} workers died on it."
        dead = moved(counted, JobStatus.FAILED, now, cause=cause)
        dead = replace(dead, error=replace(error, message=reason))
        event = JobFailed(at=now.at, job_id=job.id, reason=reason, cause=cause.value)
        return Change(dead, (event,))
    return _again(counted, now, delay_s=0.0, reason=GONE, attempt=crashes)


def handed_back(job: Job, now: Moment, *, fence: int) -> Change | None:
    """Its worker leaves: as if it had not been claimed, but for the fence."""
    if not is_held(job, fence):
        return None
    if job.cancelling:
        return _cancelled(job, now)
    event = JobHandedBack(at=now.at, job_id=job.id)
    return Change(moved(job, JobStatus.QUEUED, now, run_at=now.at), (event,))


def stopped(job: Job, now: Moment, *, fence: int) -> Change | None:
    """Its worker saw the wish to cancel, and stopped."""
    return _cancelled(job, now) if is_held(job, fence) else None


def cancelled(job: Job, now: Moment) -> Change | None:
    """A queued job never starts; a running one is stopped by its worker; one that is over stays."""
    if job.is_over:
        return None
    if job.status is JobStatus.PROCESSING and not job.is_waiting:
        return Change(replace(job, cancelling=True, updated_at=now.at))
    return _cancelled(job, now)


def requeued(job: Job, now: Moment) -> Change:
    """Once more from the beginning, by somebody's wish. What was finished of it is still kept.

    Raises JobNotInState unless it failed or was cancelled.
    """
    if job.status not in {JobStatus.FAILED, JobStatus.CANCELLED}:
        raise JobNotInState(
            f"The job {job.id} is {job.status}; only one that failed or was cancelled is tried "
            "again."
        )
    fresh = replace(
        job,
        errors=0,
        outages=0,
        crashes=0,
        crashes_since=None,
        crashed_after=0,
        error=None,
        cause=None,
        division=None,
    )
    queued = moved(fresh, JobStatus.QUEUED, now, run_at=now.at, progress=JobProgress())
    return Change(queued, (JobQueued(at=now.at, job_id=job.id, file=job.file),))


def _completion(job: Job, now: Moment) -> DomainEvent:
    if job.parent is not None and job.work.part is not None:
        number = job.work.part.number
        return JobPartCompleted(at=now.at, job_id=job.id, parent_id=job.parent, part=number)
    if job.transcript_id is None:
        raise JobNotInState(f"The job {job.id} cannot be completed without a transcript.")
    return JobCompleted(at=now.at, job_id=job.id, transcript_id=job.transcript_id)


def is_held(job: Job, fence: int) -> bool:
    return job.status is JobStatus.PROCESSING and job.fence == fence and job.lease is not None


def _again(job: Job, now: Moment, *, delay_s: float, reason: str, attempt: int) -> Change:
    queued = moved(job, JobStatus.QUEUED, now, run_at=Timestamp(now.at.unix_s + delay_s))
    event = JobRetried(at=now.at, job_id=job.id, attempt=attempt, delay_s=delay_s, reason=reason)
    return Change(queued, (event,))


def _cancelled(job: Job, now: Moment) -> Change:
    event = JobCancelled(at=now.at, job_id=job.id)
    return Change(moved(job, JobStatus.CANCELLED, now), (event,))


def moved(job: Job, to: JobStatus, now: Moment, **changes: Any) -> Job:
    """Whoever is not at work has no holder, no lease, and nobody to be told to stop."""
    if to not in TRANSITIONS[job.status]:
        raise JobNotInState(f"The job {job.id} is {job.status}; from there it cannot become {to}.")
    free = {} if to is JobStatus.PROCESSING else dict(_FREE)
    return replace(job, status=to, updated_at=now.at, **free, **changes)
