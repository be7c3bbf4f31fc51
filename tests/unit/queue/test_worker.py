"""A worker claims, works, reports, and leaves without losing anything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.core.events import JobCompleted, JobFailed, JobQueued, JobStarted
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue import family, transitions
from stretto.contexts.queue.model import DeathCause, Job, JobPriority, WorkerState
from tests.fakes.queue import FakeDatabaseClock, MemoryQueue
from tests.queues import Queue
from tests.unit.queue.jobs import a_submission, in_parts, job_id
from tests.unit.queue.shop import SOON_S, Crew, until

FAULTLESS_S = 0.5


@pytest.fixture
def twin() -> MemoryQueue:
    return MemoryQueue(FakeDatabaseClock())


@pytest.fixture
def crew(twin: MemoryQueue) -> Iterator[Crew]:
    crew = Crew(Queue(twin, twin, twin, twin.clock))
    yield crew
    crew.dismiss()


def submit(crew: Crew, number: int, does: str = "good", **given: Any) -> None:
    crew.queue.jobs.add(a_submission(number, file=f"{does} {number}", **given))


def job(crew: Crew, number: int) -> Job:
    found = crew.queue.jobs.get(job_id(number))
    assert found is not None
    return found


def test_a_job_is_done_and_its_transcript_kept_with_it(crew: Crew) -> None:
    submit(crew, 1)
    crew.hire()
    until(lambda: job(crew, 1).is_over)
    done = job(crew, 1)
    assert (done.status, done.attempts) == (JobStatus.COMPLETED, 1)
    assert crew.workshop.kept == [done.transcript_id]
    assert done.progress.fraction == 1.0
    kinds = [type(event) for event in crew.events]
    assert kinds == [JobStarted, JobCompleted]


def test_as_many_jobs_at_once_as_there_are_hands(crew: Crew) -> None:
    for number in range(1, 8):
        submit(crew, number, "held")
    crew.hire(concurrency=3)
    for _ in range(3):
        assert crew.workshop.entered.acquire(timeout=SOON_S)
    time.sleep(0.1)
    assert crew.workshop.together == 3
    crew.workshop.released.set()
    until(lambda: all(job(crew, n).is_over for n in range(1, 8)))
    assert crew.workshop.most_together == 3


def test_what_another_try_cannot_help_is_given_up_at_once_with_its_reason(crew: Crew) -> None:
    submit(crew, 1, "missing")
    submit(crew, 2, "bug")
    crew.hire()
    until(lambda: job(crew, 1).is_over and job(crew, 2).is_over)
    for number, kind in ((1, "MediaNotFound"), (2, "ValueError")):
        dead = job(crew, number)
        assert (dead.status, dead.cause, dead.attempts) == (
            JobStatus.FAILED,
            DeathCause.REFUSED,
            1,
        )
        assert dead.error is not None
        assert dead.error.kind == kind
        assert "Traceback" in dead.error.trace
        (dead.error.message + dead.error.trace).encode()  # no lone surrogate reaches a database


def test_what_fails_for_the_time_being_is_tried_five_times(crew: Crew) -> None:
    submit(crew, 1, "full")
    crew.hire()
    until(lambda: job(crew, 1).is_over)
    dead = job(crew, 1)
    assert (dead.errors, dead.attempts, dead.cause) == (5, 5, DeathCause.ERRORS)
    assert sum(isinstance(event, JobFailed) for event in crew.events) == 1


def test_a_wish_to_cancel_stops_a_running_job_wherever_it_came_from(crew: Crew) -> None:
    submit(crew, 1, "held")
    crew.hire()
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    began = time.monotonic()
    crew.queue.jobs.change(job_id(1), transitions.cancelled)  # as another process does
    until(lambda: job(crew, 1).status is JobStatus.CANCELLED)
    assert time.monotonic() - began < 10.0


def test_how_far_a_job_is_can_be_seen_by_everybody(crew: Crew) -> None:
    submit(crew, 1, "held")
    crew.hire()
    until(lambda: job(crew, 1).progress.fraction == 0.5)
    assert "JobProgressed" in crew.queue.kinds(job_id(1))


def test_the_lease_of_a_long_job_is_renewed(crew: Crew, twin: MemoryQueue) -> None:
    submit(crew, 1, "held")
    crew.hire()
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    for _ in range(4):
        twin.clock.advance(1.0)
        until(lambda: (job(crew, 1).lease or 0).until_s >= twin.clock.unix_s + 2.0)  # type: ignore[union-attr]
    assert job(crew, 1).fence == 1


def test_what_a_zombie_makes_does_not_count(crew: Crew, twin: MemoryQueue) -> None:
    """Its job was given to another worker while it could do nothing."""
    submit(crew, 1, "deaf")
    zombie = crew.hire(name="zombie")
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    twin.change(job_id(1), lambda j, now: transitions.handed_back(j, now, fence=1))
    taken = crew.queue.claim("heir")
    assert taken is not None
    crew.workshop.released.set()
    until(lambda: not zombie.running())
    assert job(crew, 1) == taken
    assert crew.workshop.kept == []
    assert "JobCompleted" not in crew.queue.kinds(job_id(1))


def test_a_worker_that_loses_a_job_stops_working_on_it(crew: Crew, twin: MemoryQueue) -> None:
    submit(crew, 1, "held")
    worker = crew.hire(name="slow")
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    twin.change(job_id(1), lambda j, now: transitions.handed_back(j, now, fence=1))
    crew.queue.claim("heir")
    until(lambda: not worker.running())
    assert job(crew, 1).holder == "heir"


def test_the_jobs_of_a_dead_worker_are_found(crew: Crew, twin: MemoryQueue) -> None:
    submit(crew, 1)
    assert crew.queue.claim("dead") is not None
    crew.hire()
    time.sleep(0.2)
    assert job(crew, 1).holder == "dead"
    twin.clock.advance(31.0)
    until(lambda: job(crew, 1).status is JobStatus.COMPLETED)
    assert job(crew, 1).attempts == 2


def test_a_suspect_runs_alone(crew: Crew, twin: MemoryQueue) -> None:
    submit(crew, 1, "held")
    for _ in range(2):
        crew.queue.claim("doomed")
        twin.clock.advance(31.0)
        crew.queue.sweep()
    submit(crew, 2, "held")
    crew.hire(concurrency=4)
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    time.sleep(0.2)
    assert crew.workshop.together == 1
    crew.workshop.released.set()
    until(lambda: job(crew, 1).is_over and job(crew, 2).is_over)
    assert crew.workshop.most_together == 1


def test_an_urgent_job_does_not_wait_for_the_end_of_a_long_one(
    crew: Crew, twin: MemoryQueue
) -> None:
    submit(crew, 1, "held", priority=JobPriority.LOW)
    crew.hire()
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    submit(crew, 2, priority=JobPriority.HIGH)
    twin.clock.advance(0.5)
    until(lambda: job(crew, 2).is_over)
    back = job(crew, 1)
    assert (back.status is not JobStatus.COMPLETED, back.errors, back.crashes) == (True, 0, 0)
    assert "JobHandedBack" in crew.queue.kinds(job_id(1))
    crew.workshop.released.set()
    until(lambda: job(crew, 1).status is JobStatus.COMPLETED)


def test_a_job_waits_for_equals_and_for_those_that_do_the_same_elsewhere(
    crew: Crew, twin: MemoryQueue
) -> None:
    submit(crew, 1, "held", priority=JobPriority.MEDIUM)
    submit(crew, 9, "good", priority=JobPriority.HIGH, work_key="elsewhere")
    assert crew.queue.claim("another worker") is not None
    submit(crew, 3, "good", priority=JobPriority.HIGH, work_key="elsewhere")
    submit(crew, 4, "good", priority=JobPriority.MEDIUM)
    crew.hire()
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    twin.clock.advance(0.5)
    time.sleep(0.4)
    assert job(crew, 1).attempts == 1


def test_who_leaves_takes_nothing_more_and_ends_what_is_begun(crew: Crew) -> None:
    submit(crew, 1, "held")
    worker = crew.hire()
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    worker.leave()
    submit(crew, 2)
    until(lambda: [n.state for n in crew.queue.workers.alive()] == [WorkerState.DRAINING])
    crew.workshop.released.set()
    crew.thread_of(worker).join(SOON_S)
    assert job(crew, 1).status is JobStatus.COMPLETED
    assert (job(crew, 2).status, job(crew, 2).attempts) == (JobStatus.QUEUED, 0)
    assert crew.queue.workers.alive() == ()


@pytest.mark.parametrize("does", ["held", "deaf"])
def test_what_does_not_end_in_time_goes_back_without_an_attempt(crew: Crew, does: str) -> None:
    submit(crew, 1, does)
    worker = crew.hire(grace_s=0.1)
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    began = time.monotonic()
    worker.leave()
    crew.thread_of(worker).join(SOON_S)
    assert time.monotonic() - began < 10.0
    back = job(crew, 1)
    assert (back.status, back.errors, back.crashes) == (JobStatus.QUEUED, 0, 0)
    assert "JobHandedBack" in crew.queue.kinds(job_id(1))


def test_a_second_wish_to_leave_waits_for_nothing(crew: Crew) -> None:
    submit(crew, 1, "deaf")
    worker = crew.hire(grace_s=60.0)
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    worker.leave()
    began = time.monotonic()
    worker.abandon()
    crew.thread_of(worker).join(SOON_S)
    assert time.monotonic() - began < 10.0
    assert job(crew, 1).status is JobStatus.QUEUED


def test_an_idle_worker_stops_within_half_a_second(crew: Crew) -> None:
    worker = crew.hire()
    time.sleep(0.3)
    began = time.monotonic()
    worker.leave()
    crew.thread_of(worker).join(SOON_S)
    assert time.monotonic() - began < FAULTLESS_S


def test_trouble_with_the_database_is_waited_out(crew: Crew, twin: MemoryQueue) -> None:
    submit(crew, 1, "held")
    crew.hire()
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    twin.trouble = StorageUnavailable("The disk is gone.")
    crew.workshop.released.set()
    time.sleep(0.3)
    twin.trouble = None
    until(lambda: job(crew, 1).is_over)
    assert len(crew.workshop.kept) == 1


def test_a_worker_that_does_not_come_round_is_noticed(crew: Crew, twin: MemoryQueue) -> None:
    noticed: list[str] = []
    crew.hire(stuck_s=0.2, stuck=lambda: noticed.append("stuck"), longest_pause_s=0.05)
    time.sleep(0.4)
    assert noticed == [], "an idle worker comes round"
    twin.trouble = StorageUnavailable("The disk is gone.")
    twin.soonest_s = lambda _: (_ for _ in ()).throw(twin.trouble)  # type: ignore[method-assign,assignment,arg-type]
    until(lambda: noticed != [])


def test_an_idle_worker_beside_ready_jobs_is_noticed(crew: Crew, twin: MemoryQueue) -> None:
    noticed: list[str] = []
    twin.claim = lambda *_, **__: None  # type: ignore[method-assign]
    crew.hire(stuck_s=0.2, stuck=lambda: noticed.append("stuck"), longest_pause_s=0.05)
    submit(crew, 1)
    time.sleep(0.5)
    assert noticed == [], "the job has not been ready for long"
    crew.queue.clock.advance(1.0)
    until(lambda: noticed != [])


def test_a_busy_worker_beside_ready_jobs_is_not(crew: Crew) -> None:
    noticed: list[str] = []
    crew.hire(stuck_s=0.2, stuck=lambda: noticed.append("stuck"), longest_pause_s=0.05)
    submit(crew, 1, "held")
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    submit(crew, 2)
    crew.queue.clock.advance(0.3)
    time.sleep(0.6)
    assert noticed == []


def test_parts_of_files_fill_the_hands_that_one_file_would(crew: Crew, twin: MemoryQueue) -> None:
    crew.queue.jobs.add(a_submission(1, file="held 1"))
    planner = crew.queue.claim("planner")
    assert planner is not None
    into = in_parts(planner, 6)
    twin.change(planner.id, lambda job, now: family.divided(job, now, fence=1, into=into))
    crew.hire(concurrency=1, parts_at_once=4)
    until(lambda: crew.workshop.together == 4)
    time.sleep(0.2)
    assert crew.workshop.most_together == 4
    crew.workshop.released.set()
    until(lambda: crew.status(planner.id) is JobStatus.COMPLETED)


def test_an_idle_worker_asks_less_and_less(crew: Crew, twin: MemoryQueue) -> None:
    asked: list[float] = []
    soonest = twin.soonest_s

    def counting(queues: Any) -> float | None:
        asked.append(time.monotonic())
        return soonest(queues)

    twin.soonest_s = counting  # type: ignore[method-assign]
    crew.hire()
    time.sleep(2.0)
    assert 3 <= len(asked) <= 7


def test_a_bell_wakes_an_idle_worker_at_once(crew: Crew) -> None:
    worker = crew.hire()
    time.sleep(1.0)
    submit(crew, 1)
    began = time.monotonic()
    worker.dispatcher.bell.ring()
    until(lambda: job(crew, 1).is_over)
    assert time.monotonic() - began < 0.3
    assert JobQueued not in {type(event) for event in crew.events}
