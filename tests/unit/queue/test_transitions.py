"""What can happen to a job, and what cannot."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from stretto.contexts.core.errors import JobNotInState
from stretto.contexts.core.events import (
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobHandedBack,
    JobQueued,
    JobRetried,
    JobStarted,
)
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue import transitions
from stretto.contexts.queue.model import (
    FINAL,
    Change,
    DeathCause,
    Job,
    JobError,
    JobProgress,
)
from stretto.contexts.queue.policy import RetryConfig, RetryPolicy
from tests.unit.queue.jobs import a_job, at, until

TRANSCRIPT = TranscriptId(UUID(int=77))
HALF = JobProgress(fraction=0.5, done_s=30.0, total_s=60.0, chunks_done=1, chunks_known=2)
BAD_LUCK = JobError(kind="StorageFull", message="The disk is full.", trace="Traceback …")
POLICY = RetryPolicy(dice=lambda: 0.5)
HOUR_S = 3600.0


def taken(job: Job, *, seconds: float = 1.0) -> Job:
    return transitions.claimed(job, at(seconds), holder="worker 1", lease=until(seconds + 30.0)).job


def failing(job: Job, *, seconds: float = 2.0, retryable: bool = True, **how: bool) -> Change:
    change = transitions.failed(
        job, at(seconds), fence=job.fence, error=BAD_LUCK, retryable=retryable, policy=POLICY, **how
    )
    assert change is not None
    return change


def test_a_job_is_accepted_by_the_clock_of_the_database() -> None:
    change = transitions.accepted(a_job(), at(5.0))
    assert (change.job.created_at, change.job.run_at) == (at(5.0).at, at(5.0).at)
    assert change.events == (JobQueued(at=at(5.0).at, job_id=a_job().id, file="talk 1.mp3"),)


def test_a_claim_gives_a_lease_and_a_new_fence() -> None:
    change = transitions.claimed(a_job(fence=4), at(1.0), holder="worker 1", lease=until(31.0))
    job = change.job
    assert (job.status, job.fence, job.holder) == (JobStatus.PROCESSING, 5, "worker 1")
    assert job.lease == until(31.0)
    (started,) = change.events
    assert started == JobStarted(
        at=at(1.0).at,
        job_id=job.id,
        worker="worker 1",
        attempt=5,
        priority="medium",
        waited_s=1.0,
    )


def test_a_completed_job_names_its_transcript_and_is_done_as_a_whole() -> None:
    job = replace(taken(a_job()), crashes=1, crashes_since=at(0).at)
    change = transitions.completed(job, at(9.0), fence=1, transcript_id=TRANSCRIPT, progress=HALF)
    assert change is not None
    done = change.job
    assert (done.status, done.transcript_id) == (JobStatus.COMPLETED, TRANSCRIPT)
    assert (done.progress.fraction, done.crashes, done.holder, done.lease) == (1.0, 0, "", None)
    assert [type(event) for event in change.events] == [JobCompleted]


def in_the_name_of(job: Job, fence: int) -> list[Change | None]:
    now = at(9.0)
    return [
        transitions.completed(job, now, fence=fence, transcript_id=TRANSCRIPT, progress=HALF),
        transitions.failed(job, now, fence=fence, error=BAD_LUCK, retryable=True, policy=POLICY),
        transitions.progressed(job, now, fence=fence, progress=HALF),
        transitions.handed_back(job, now, fence=fence),
        transitions.stopped(job, now, fence=fence),
    ]


def test_an_old_fence_changes_nothing() -> None:
    first = taken(a_job())
    back = transitions.handed_back(first, at(2.0), fence=1)
    assert back is not None
    second = taken(back.job, seconds=3.0)
    assert in_the_name_of(second, 1) == [None] * 5
    assert in_the_name_of(back.job, 1) == [None] * 5
    assert None not in in_the_name_of(second, 2)


def test_a_passing_failure_is_tried_again_later() -> None:
    change = failing(taken(a_job()))
    job = change.job
    assert (job.status, job.errors, job.error) == (JobStatus.QUEUED, 1, BAD_LUCK)
    assert job.run_at == at(2.0 + 0.5 * 2.0 * 2).at
    (event,) = change.events
    assert isinstance(event, JobRetried)
    assert (event.attempt, event.delay_s, event.reason) == (1, 2.0, BAD_LUCK.message)


def test_the_fifth_failure_is_the_last_one() -> None:
    job = a_job()
    for attempt in range(1, 6):
        change = failing(taken(job))
        job = change.job
        assert job.errors == attempt
    assert (job.status, job.cause, job.error) == (JobStatus.FAILED, DeathCause.ERRORS, BAD_LUCK)
    assert isinstance(change.events[0], JobFailed)
    assert change.events[0].cause == "errors"


def test_what_another_try_cannot_help_is_not_tried_again() -> None:
    change = failing(taken(a_job()), retryable=False)
    assert (change.job.status, change.job.cause) == (JobStatus.FAILED, DeathCause.REFUSED)


def test_a_lease_that_is_not_over_is_left_alone() -> None:
    job = taken(a_job())
    assert transitions.expired(job, at(30.9), policy=POLICY) is None
    assert transitions.expired(a_job(), at(99.0), policy=POLICY) is None


def test_a_start_of_the_machine_ends_every_lease() -> None:
    change = transitions.expired(taken(a_job()), at(2.0, boot="boot 2"), policy=POLICY)
    assert change is not None
    assert change.job.status is JobStatus.QUEUED


def died(job: Job, seconds: float) -> Change:
    change = transitions.expired(taken(job, seconds=seconds), at(seconds + 31), policy=POLICY)
    assert change is not None
    return change


def test_after_two_deaths_a_job_is_suspect_and_after_three_it_is_dead() -> None:
    once = died(a_job(), 0.0).job
    twice = died(once, 100.0).job
    assert [once.is_suspect, twice.is_suspect] == [False, True]
    dead = died(twice, 200.0)
    assert (dead.job.status, dead.job.cause) == (JobStatus.FAILED, DeathCause.CRASHES)
    assert "3 workers died" in str(dead.job.error)


def test_a_death_after_another_chunk_was_finished_is_the_first_one_again() -> None:
    """The budget is that of a chunk: a long job on machines that come and go is not suspect."""
    job = a_job()
    for chunks in range(1, 9):
        held = taken(job, seconds=100.0 * chunks)
        progress = JobProgress(chunks_done=chunks)
        told = transitions.progressed(held, at(100.0 * chunks), fence=held.fence, progress=progress)
        assert told is not None
        change = transitions.expired(told.job, at(100.0 * chunks + 31), policy=POLICY)
        assert change is not None
        job = change.job
        assert (job.status, job.crashes) == (JobStatus.QUEUED, 1)


def test_errors_and_crashes_are_counted_apart() -> None:
    job = died(failing(taken(a_job())).job, 100.0).job
    assert (job.errors, job.crashes) == (1, 1)
    assert failing(taken(job)).job.crashes == 0, "its worker lived to say what went wrong"


def test_an_outage_is_no_error_of_the_job() -> None:
    job = a_job()
    for _ in range(19):
        job = failing(taken(job), outage=True).job
    assert (job.status, job.outages, job.errors) == (JobStatus.QUEUED, 19, 0)
    erring = failing(taken(job)).job
    assert (erring.status, erring.outages, erring.errors) == (JobStatus.QUEUED, 19, 1)
    assert erring.run_at == at(2.0 + 0.5 * 2.0 * 2).at, "as after any first error"
    change = failing(taken(erring), outage=True)
    assert (change.job.status, change.job.cause) == (JobStatus.FAILED, DeathCause.ERRORS)


def test_crashes_of_days_ago_are_forgotten() -> None:
    job = died(died(a_job(), 0.0).job, HOUR_S).job
    late = died(job, 80 * HOUR_S).job
    assert (late.status, late.crashes) == (JobStatus.QUEUED, 1)


def test_handing_back_costs_no_attempt() -> None:
    job = replace(taken(a_job()), errors=2, crashes=1, crashes_since=at(0).at)
    change = transitions.handed_back(job, at(5.0), fence=1)
    assert change is not None
    back = change.job
    assert (back.status, back.errors, back.crashes) == (JobStatus.QUEUED, 2, 1)
    assert back.run_at == at(5.0).at
    assert isinstance(change.events[0], JobHandedBack)


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_by_its_worker() -> None:
    at_once = transitions.cancelled(a_job(), at(1.0))
    assert at_once is not None
    assert at_once.job.status is JobStatus.CANCELLED
    asked = transitions.cancelled(taken(a_job()), at(2.0))
    assert asked is not None
    assert (asked.job.status, asked.job.cancelling) == (JobStatus.PROCESSING, True)
    stopped = transitions.stopped(asked.job, at(3.0), fence=1)
    assert stopped is not None
    assert (stopped.job.status, stopped.job.cancelling) == (JobStatus.CANCELLED, False)
    assert isinstance(stopped.events[0], JobCancelled)


@pytest.mark.parametrize("how", ["expired", "handed back"])
def test_a_job_that_is_to_be_cancelled_does_not_start_again(how: str) -> None:
    job = replace(taken(a_job()), cancelling=True)
    change = (
        transitions.expired(job, at(99.0), policy=POLICY)
        if how == "expired"
        else transitions.handed_back(job, at(2.0), fence=1)
    )
    assert change is not None
    assert change.job.status is JobStatus.CANCELLED


def test_requeueing_begins_anew_but_never_with_an_old_fence() -> None:
    dead = replace(failing(taken(a_job()), retryable=False).job, outages=7, crashes=2)
    job = transitions.requeued(dead, at(50.0)).job
    assert (job.status, job.error) == (JobStatus.QUEUED, None)
    assert (job.errors, job.outages, job.crashes) == (0, 0, 0)
    assert (job.fence, job.cause) == (1, None)


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.COMPLETED])
def test_only_what_failed_or_was_cancelled_can_be_requeued(status: JobStatus) -> None:
    with pytest.raises(JobNotInState, match=str(status)):
        transitions.requeued(a_job(status=status), at(1.0))


def test_what_is_over_stays_as_it_is() -> None:
    for status in FINAL:
        job = a_job(status=status, fence=1)
        assert transitions.cancelled(job, at(1.0)) is None
        assert in_the_name_of(job, 1) == [None] * 5
        with pytest.raises(JobNotInState):
            transitions.claimed(job, at(1.0), holder="worker", lease=until(9.0))


def test_the_table_of_transitions_knows_every_state() -> None:
    assert transitions.TRANSITIONS.keys() == set(JobStatus)
    reopened = transitions.TRANSITIONS[JobStatus.COMPLETED]
    assert reopened == {JobStatus.PROCESSING}, "to wait for a part that is tried again"
    for start, end in product(JobStatus, FINAL):
        assert (end in transitions.TRANSITIONS[start]) == (
            start is JobStatus.PROCESSING
            or (start is JobStatus.QUEUED and end is JobStatus.CANCELLED)
        )


def uniform_distance(samples: list[float], width: float) -> float:
    """Of the samples' distribution from the even one on [0, width] (Kolmogorov-Smirnov)."""
    ordered, count = sorted(samples), len(samples)
    return max(
        max((place + 1) / count - value / width, value / width - place / count)
        for place, value in enumerate(ordered)
    )


@pytest.mark.parametrize(("errors", "widest"), [(1, 4.0), (3, 16.0), (9, 300.0)])
def test_waits_are_spread_evenly_up_to_their_bound(errors: int, widest: float) -> None:
    import random

    policy = RetryPolicy(dice=random.Random(7).random)
    waits = [policy.delay_s(errors) for _ in range(500)]
    assert uniform_distance(waits, widest) < 1.63 / 500**0.5  # p > 0.01


def test_the_budgets_can_be_set() -> None:
    policy = RetryPolicy(config=RetryConfig(most_errors=2, most_crashes=1))
    assert policy.death_by_error(1, retryable=True) is None
    assert policy.death_by_error(2, retryable=True) is DeathCause.ERRORS
    assert policy.death_by_crash(1) is DeathCause.CRASHES


def attributes(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in Job.__dataclass_fields__}


def test_nothing_that_happens_changes_what_a_job_is_born_with() -> None:
    job = a_job()
    for change in in_the_name_of(taken(job), 1):
        assert change is not None
        for name in ("id", "file", "work", "work_key", "priority", "created_at"):
            assert attributes(change.job)[name] == attributes(job)[name]
