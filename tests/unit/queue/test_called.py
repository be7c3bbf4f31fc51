"""Workers that take a job only when they are called."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.called import CalledSource, CalledWorker
from stretto.contexts.queue.model import Change, Job, JobPriority
from tests.queues import memory_queue
from tests.unit.queue.jobs import a_submission
from tests.unit.queue.shop import SOON_S, Crew, until


class Office:
    """A called worker, and threads that call it."""

    def __init__(self, **given: Any) -> None:
        self.added = 0
        self.crew = Crew(memory_queue())
        self.source = CalledSource()
        self.called = CalledWorker(self.crew.worker(source=self.source, **given), self.source)
        self.called.start()
        self.threads = ThreadPoolExecutor(8)

    def add(self, does: str, priority: JobPriority = JobPriority.MEDIUM) -> JobId:
        self.added += 1
        submission = a_submission(self.added, file=does, priority=priority)
        return self.crew.queue.jobs.add(submission).job.id

    def call(self) -> Future[Job | None]:
        return self.threads.submit(self.called.answer)

    def close(self) -> None:
        self.crew.workshop.released.set()
        gone = threading.Event()
        self.called.leave(patiently=False, left=gone.set)
        assert gone.wait(SOON_S)
        self.threads.shutdown()


@pytest.fixture
def office() -> Iterator[Office]:
    office = Office()
    yield office
    office.close()


@pytest.fixture
def two_hands() -> Iterator[Office]:
    office = Office(concurrency=2)
    yield office
    office.close()


def answered(call: Future[Job | None]) -> Job | None:
    return call.result(SOON_S)


def test_a_call_is_over_with_its_job(office: Office) -> None:
    job_id = office.add("good")
    job = answered(office.call())
    assert job is not None
    assert job.id == job_id
    assert office.crew.status(job_id) is JobStatus.COMPLETED


def test_without_a_call_nothing_is_taken(office: Office) -> None:
    first, second = office.add("good"), office.add("good 2")
    answered(office.call())
    assert {office.crew.status(first), office.crew.status(second)} == {
        JobStatus.COMPLETED,
        JobStatus.QUEUED,
    }


def test_a_call_too_many_does_nothing(office: Office) -> None:
    office.add("good")
    assert [bool(answered(office.call())) for _ in range(3)] == [True, False, False]
    assert sum(office.crew.workshop.begun.values()) == 1


def test_the_most_urgent_job_is_taken_whichever_was_called_for(office: Office) -> None:
    office.add("good")
    urgent = office.add("good 2", JobPriority.HIGH)
    job = answered(office.call())
    assert job is not None
    assert job.id == urgent


def test_a_call_waits_until_a_hand_is_free(two_hands: Office) -> None:
    for number in range(3):
        two_hands.add(f"held {number}")
    calls = [two_hands.call() for _ in range(3)]
    for _ in range(2):
        assert two_hands.crew.workshop.entered.acquire(timeout=SOON_S)
    assert not any(call.done() for call in calls)
    two_hands.crew.workshop.released.set()
    assert all(answered(call) for call in calls)
    assert two_hands.crew.workshop.most_together == 2


def test_a_suspect_is_worked_on_although_calls_never_leave_the_worker_alone(
    two_hands: Office,
) -> None:
    shop, held = two_hands.crew.workshop, deque(two_hands.add(f"held {n}") for n in range(2))
    calls = [two_hands.call() for _ in held]
    for _ in held:
        assert shop.entered.acquire(timeout=SOON_S)
    suspect = two_hands.add("good")
    two_hands.crew.queue.jobs.change(
        suspect, lambda job, _: Change(replace(job, crashes=2, run_at=Timestamp(0.0)))
    )
    end = time.monotonic() + SOON_S
    while not shop.begun[suspect]:
        assert time.monotonic() < end, "it never had its turn"
        held.append(two_hands.add("held"))
        calls.append(two_hands.call())
        shop.let_go.add(held.popleft())  # the other one is held until the next has begun
        shop.entered.acquire(timeout=0.3)
    shop.released.set()
    assert all(answered(call) for call in calls)


@pytest.mark.parametrize("kind", ["missing", "full", "bug"])
def test_a_job_that_fails_ends_its_call_all_the_same(office: Office, kind: str) -> None:
    job_id = office.add(kind)
    assert answered(office.call()) is not None
    assert office.crew.status(job_id) is not JobStatus.PROCESSING
    assert office.called.worker.running() == ()


def test_a_worker_that_leaves_answers_no_more_and_finishes_what_it_has(office: Office) -> None:
    held = office.add("held")
    call = office.call()
    assert office.crew.workshop.entered.acquire(timeout=SOON_S)
    office.called.leave(patiently=True)
    office.add("good")
    assert answered(office.call()) is None
    office.crew.workshop.released.set()
    assert answered(call) is not None
    assert office.crew.status(held) is JobStatus.COMPLETED


def test_one_that_has_to_leave_at_once_hands_back(office: Office) -> None:
    held = office.add("held")
    call = office.call()
    assert office.crew.workshop.entered.acquire(timeout=SOON_S)
    office.called.leave(patiently=False)
    assert answered(call) is not None
    assert office.crew.status(held) is JobStatus.QUEUED


def test_a_call_while_the_database_is_away_is_over_and_the_next_one_is_answered(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise StorageUnavailable

    job_id = office.add("good")
    with monkeypatch.context() as patch:
        patch.setattr(office.crew.queue.jobs, "claim", away)
        assert answered(office.call()) is None
    assert answered(office.call()) is not None
    until(lambda: office.crew.status(job_id) is JobStatus.COMPLETED)


def test_what_is_to_be_done_at_the_end_is_done_before_a_worker_has_left() -> None:
    crew, source, done = Crew(memory_queue()), CalledSource(), []
    gone = threading.Event()
    called = CalledWorker(
        crew.worker(source=source), source, at_the_end=lambda: done.append("counted")
    )
    called.start()
    called.leave(patiently=True, left=lambda: (done.append("left"), gone.set()))
    assert gone.wait(SOON_S)
    assert done == ["counted", "left"]
