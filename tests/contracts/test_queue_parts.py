"""What every queue promises of a job that is divided into parts, whatever is behind it."""

from __future__ import annotations

from typing import Any

import pytest

from stretto.contexts.core.errors import JobNotInState
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue import family, transitions
from stretto.contexts.queue.adapters.bell import LocalBell
from stretto.contexts.queue.dead_letter import DeadLetterHandler
from stretto.contexts.queue.dispatcher import JobDispatcher
from stretto.contexts.queue.model import Job, JobError, JobPriority, JobProgress, Wanted
from tests.queues import POLICY, Queue, memory_queue, queue_on
from tests.unit.queue.jobs import a_submission, in_parts, job_id, until

PARENT = job_id(1)
WHOLE = JobProgress(fraction=1.0, done_s=30.0, total_s=30.0, chunks_done=3, chunks_known=3)
POISON = JobError(kind="EngineFailure", message="The chunk is poisoned.")
AWAY = JobError(kind="TransientEngineFailure", message="The service is away.", trace="where")


@pytest.fixture(params=["twin", "sqlite", "postgresql"])
def queue(request: pytest.FixtureRequest) -> Queue:
    if request.param == "twin":
        return memory_queue()
    return queue_on(request.getfixturevalue(f"{request.param}_database"))


def divide(queue: Queue, *, parts: int = 3, **given: Any) -> None:
    queue.jobs.add(a_submission(**given))
    job = queue.claim("planner")
    assert job is not None
    into = in_parts(job, parts)
    change = queue.jobs.change(
        PARENT, lambda job, now: family.divided(job, now, fence=1, into=into)
    )
    assert change is not None
    assert len(change.besides) == parts


def parent(queue: Queue) -> Job:
    found = queue.jobs.get(PARENT)
    assert found is not None
    return found


def take(queue: Queue) -> Job:
    job = queue.claim()
    assert job is not None
    return job


def finish(queue: Queue, job: Job) -> bool:
    transcript = None if job.parent else TranscriptId.new()

    def decide(found: Job, now: Any) -> Any:
        return transitions.completed(
            found, now, fence=job.fence, transcript_id=transcript, progress=WHOLE
        )

    return queue.jobs.change(job.id, decide) is not None


def give_up(queue: Queue, job: Job) -> None:
    queue.jobs.change(
        job.id,
        lambda found, now: transitions.failed(
            found, now, fence=job.fence, error=POISON, retryable=False, policy=POLICY
        ),
    )


def test_the_parts_of_a_job_are_claimed_in_their_order_with_its_priority(queue: Queue) -> None:
    divide(queue, priority=JobPriority.HIGH)
    assert parent(queue).is_waiting
    parts = [take(queue) for _ in range(3)]
    assert [part.work.part.number for part in parts if part.work.part] == [0, 1, 2]
    assert {part.priority for part in parts} == {JobPriority.HIGH}
    assert {part.parent for part in parts} == {PARENT}
    assert queue.claim() is None, "the parent waits"


def test_a_job_shows_how_far_its_parts_are(queue: Queue) -> None:
    divide(queue)
    finish(queue, take(queue))
    progress = parent(queue).progress
    assert (progress.done_s, progress.total_s) == (10.0, 30.0)
    assert (progress.chunks_done, progress.chunks_known) == (1, 3)
    assert progress.fraction == pytest.approx(1 / 3)
    assert queue.kinds(PARENT) == [
        "JobQueued",
        "JobStarted",
        "JobDivided",
        "JobProgressed",
        "JobProgressed",
    ]


def test_a_job_says_which_of_its_parts_waits_and_why_and_its_parts_keep_their_order(
    queue: Queue,
) -> None:
    divide(queue)
    part = take(queue)

    def decide(found: Job, now: Any) -> Any:
        return transitions.failed(
            found, now, fence=part.fence, error=AWAY, retryable=True, outage=True, policy=POLICY
        )

    queue.jobs.change(part.id, decide)
    waiting = parent(queue)
    assert waiting.is_waiting
    assert waiting.error is not None
    assert waiting.error.message == f"Chunk 0 is to be tried again. {AWAY.message}"
    assert queue.kinds(PARENT)[-1] == "JobPartRetried"
    assert [one.work.part.number for one in queue.jobs.parts_of(PARENT) if one.work.part] == [
        0,
        1,
        2,
    ]
    queue.clock.advance(60.0)
    for _ in range(3):
        finish(queue, take(queue))
    assert parent(queue).status is JobStatus.QUEUED
    assert parent(queue).error is None


def test_the_last_part_makes_the_job_ready_to_be_put_together_once(queue: Queue) -> None:
    divide(queue)
    for _ in range(3):
        assert queue.claim(only=PARENT) is None
        finish(queue, take(queue))
    merging = queue.claim("merger")
    assert merging is not None
    assert (merging.id, merging.fence) == (PARENT, 2)
    assert queue.claim() is None
    assert finish(queue, merging)
    assert not finish(queue, merging)
    assert queue.kinds(PARENT).count("JobCompleted") == 1


def test_a_part_that_ends_twice_counts_once(queue: Queue) -> None:
    divide(queue)
    part = take(queue)
    assert finish(queue, part)
    assert not finish(queue, part)
    assert parent(queue).division == in_parts(parent(queue), 3).division.one_less(None)


def test_who_merges_and_dies_is_followed_by_another(queue: Queue) -> None:
    divide(queue, parts=1)
    finish(queue, take(queue))
    first = queue.claim("merger")
    queue.clock.advance(31.0)
    assert queue.sweep() == [PARENT]
    second = queue.claim("another")
    assert first is not None
    assert second is not None
    assert not finish(queue, first)
    assert finish(queue, second)


def test_a_waiting_job_has_no_lease_to_lose_not_even_when_the_machine_restarts(
    queue: Queue,
) -> None:
    divide(queue)
    queue.clock.boot = "boot 2"
    queue.clock.advance(3600.0)
    assert queue.jobs.expired(100) == ()
    assert parent(queue).is_waiting


def test_who_divided_a_job_has_no_right_to_it_any_more(queue: Queue) -> None:
    divide(queue)
    before = parent(queue)
    assert not finish(queue, before)
    queue.jobs.renew([(PARENT, 1)], lambda _: until(1e6))
    assert parent(queue) == before


def test_a_part_that_is_given_up_is_missing_and_the_job_ends_without_it(queue: Queue) -> None:
    divide(queue)
    give_up(queue, take(queue))
    finish(queue, take(queue))
    finish(queue, take(queue))
    merging = queue.claim()
    assert merging is not None
    assert merging.division is not None
    assert [(one.number, one.reason) for one in merging.division.missing] == [
        (0, "The chunk is poisoned.")
    ]


def test_a_part_that_was_given_up_is_tried_again_and_put_in(queue: Queue) -> None:
    divide(queue, parts=2)
    give_up(queue, take(queue))
    finish(queue, take(queue))
    finish(queue, take(queue))
    partial = parent(queue)
    assert partial.status is JobStatus.COMPLETED
    (dead,) = queue.jobs.page(Wanted(status=JobStatus.FAILED))
    queue.jobs.change(dead.id, transitions.requeued)
    assert parent(queue).is_waiting
    assert parent(queue).transcript_id == partial.transcript_id, "it is there to be read"
    finish(queue, take(queue))
    merging = queue.claim()
    assert merging is not None
    assert merging.division is not None
    assert (merging.id, merging.division.missing) == (PARENT, ())
    assert finish(queue, merging)
    assert parent(queue).transcript_id != partial.transcript_id


def test_a_part_is_not_tried_again_while_the_others_are_put_together(queue: Queue) -> None:
    divide(queue, parts=1)
    part = take(queue)
    give_up(queue, part)
    assert take(queue).id == PARENT
    with pytest.raises(JobNotInState, match="put together"):
        queue.jobs.change(part.id, transitions.requeued)


def test_whoever_cancels_a_job_cancels_its_parts(queue: Queue) -> None:
    divide(queue)
    running = take(queue)
    queue.jobs.change(PARENT, transitions.cancelled)
    assert parent(queue).status is JobStatus.CANCELLED
    assert queue.claim() is None
    found = queue.jobs.get(running.id)
    assert found is not None
    assert found.cancelling
    queue.jobs.change(
        running.id, lambda job, now: transitions.stopped(job, now, fence=running.fence)
    )
    assert {part.status for part in queue.jobs.parts_of(PARENT)} == {JobStatus.CANCELLED}
    assert parent(queue).status is JobStatus.CANCELLED


def test_a_cancelled_job_begins_anew_without_the_parts_it_had(queue: Queue) -> None:
    divide(queue)
    running = take(queue)
    queue.jobs.change(PARENT, transitions.cancelled)
    queue.jobs.change(PARENT, transitions.requeued)
    assert queue.jobs.parts_of(PARENT) == ()
    assert queue.jobs.get(running.id) is None
    again = take(queue)
    assert (again.id, again.division) == (PARENT, None)


def test_a_part_that_was_cancelled_by_itself_is_missing(queue: Queue) -> None:
    divide(queue, parts=2)
    first, _ = queue.jobs.parts_of(PARENT)
    queue.jobs.change(first.id, transitions.cancelled)
    finish(queue, take(queue))
    merging = take(queue)
    assert merging.division is not None
    assert [one.reason for one in merging.division.missing] == ["It was cancelled."]


def test_parts_are_not_listed_unless_they_are_dead(queue: Queue) -> None:
    divide(queue)
    assert [job.id for job in queue.jobs.page(Wanted())] == [PARENT]
    assert queue.jobs.page(Wanted(status=JobStatus.QUEUED)) == ()
    part = take(queue)
    give_up(queue, part)
    assert [job.id for job in queue.jobs.page(Wanted(status=JobStatus.FAILED))] == [part.id]
    assert [job.id for job in queue.jobs.page(Wanted())] == [PARENT]


def test_all_that_was_given_up_is_tried_again_without_the_parts_of_what_was(queue: Queue) -> None:
    divide(queue, parts=1)
    give_up(queue, take(queue))
    give_up(queue, take(queue))
    assert parent(queue).status is JobStatus.FAILED
    dispatcher = JobDispatcher(jobs=queue.jobs, bell=LocalBell(), publish=lambda _: None)
    dead_letters = DeadLetterHandler(dispatcher=dispatcher, listed=queue.jobs)
    assert [job.id for job in dead_letters.all()] == [PARENT]
    dead_letters.requeue(PARENT)
    assert queue.jobs.parts_of(PARENT) == ()


def test_each_part_calls_a_hand(queue: Queue) -> None:
    queue.jobs.add(a_submission())
    job, called = take(queue), []
    dispatcher = JobDispatcher(
        jobs=queue.jobs, bell=LocalBell(), publish=lambda _: None, summon=called.append
    )
    into = in_parts(job, 3)
    dispatcher.change(PARENT, lambda job, now: family.divided(job, now, fence=1, into=into))
    assert {one.parent for one in called} == {PARENT}
    assert len(called) == 3


def test_a_job_takes_its_parts_with_it_when_it_is_deleted(queue: Queue) -> None:
    divide(queue, parts=2)
    queue.jobs.change(PARENT, transitions.cancelled)
    assert queue.jobs.delete(PARENT)
    assert queue.jobs.parts_of(PARENT) == ()


def test_equal_work_waits_for_a_job_that_waits_for_its_parts(queue: Queue) -> None:
    divide(queue, parts=1, work_key="the same")
    queue.jobs.add(a_submission(2, work_key="the same"))
    part = take(queue)
    assert part.parent == PARENT
    assert queue.claim() is None


def test_a_wish_to_cancel_reaches_a_job_that_is_about_to_be_divided(queue: Queue) -> None:
    queue.jobs.add(a_submission())
    job = take(queue)
    queue.jobs.change(PARENT, transitions.cancelled)
    into = in_parts(job, 3)
    queue.jobs.change(PARENT, lambda job, now: family.divided(job, now, fence=1, into=into))
    assert parent(queue).status is JobStatus.CANCELLED
    assert queue.jobs.parts_of(PARENT) == ()
