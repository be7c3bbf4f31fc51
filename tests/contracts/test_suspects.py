"""A job that killed two workers runs alone; and it does run, however much else there is to do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import pytest

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.queue.model import (
    EVERY_QUEUE,
    SUSPICIOUS_CRASHES,
    Change,
    Job,
    JobPriority,
    Look,
    Moment,
    WorkerNode,
)
from stretto.contexts.queue.suspects import PATIENCE_S, SuspectWatch
from tests.queues import TERMS, Queue, memory_queue, queue_on
from tests.unit.queue.jobs import a_submission, job_id
from tests.unit.queue.shop import SOON_S, Crew, until

SUSPECT = 1
MEDIUM = JobPriority.MEDIUM
WAITED = Look(queues=(MEDIUM,), waited_s=PATIENCE_S)


@pytest.fixture(params=["twin", "sqlite", "postgresql"])
def queue(request: pytest.FixtureRequest) -> Queue:
    if request.param == "twin":
        return memory_queue()
    return queue_on(request.getfixturevalue(f"{request.param}_database"))


@pytest.fixture
def crew(queue: Queue) -> Iterator[Crew]:
    crew = Crew(queue)
    yield crew
    crew.dismiss()


def add(queue: Queue, number: int, **given: str) -> None:
    queue.jobs.add(a_submission(number, file=f"held {number}", **given))


def add_suspect(queue: Queue, *, waits_s: float) -> None:
    """Two workers died on it, the second one so long ago."""

    def decide(job: Job, now: Moment) -> Change:
        at = Timestamp(now.at.unix_s - waits_s)
        return Change(replace(job, crashes=SUSPICIOUS_CRASHES, run_at=at))

    add(queue, SUSPECT)
    queue.jobs.change(job_id(SUSPECT), decide)


def test_a_suspect_has_its_turn_on_a_worker_that_always_has_something_in_its_hands(
    crew: Crew,
) -> None:
    shop, held, number = crew.workshop, deque((2, 3)), 3
    for first in held:
        add(crew.queue, first)
    worker = crew.hire(concurrency=2)
    for _ in held:
        assert shop.entered.acquire(timeout=SOON_S)
    add_suspect(crew.queue, waits_s=61.0)
    end = time.monotonic() + SOON_S
    while not shop.begun[job_id(SUSPECT)]:
        assert time.monotonic() < end, "it never had its turn"
        number += 1
        add(crew.queue, number)
        held.append(number)
        shop.let_go.add(job_id(held.popleft()))  # the other one is held until the next has begun
        shop.entered.acquire(timeout=0.3)
    until(lambda: [one.job.id for one in worker.running()] == [job_id(SUSPECT)])
    assert shop.together == 1


def a_watch(
    queue: Queue, *, started_at: float, queues: tuple[JobPriority, ...] = EVERY_QUEUE
) -> SuspectWatch:
    """Of a worker that is alive and asks whenever it may."""
    node = WorkerNode(
        id=f"worker {started_at}",
        host="here",
        pid=1,
        concurrency=2,
        queues=queues,
        started_at=Timestamp(started_at),
    )
    queue.workers.beat(node, TERMS.lease)
    return SuspectWatch(node=node, listed=queue.jobs, workers=queue.workers, every_s=0.0)


def first_of(queue: Queue, look: Look = WAITED) -> Job | None:
    return queue.jobs.first(look)


def test_a_suspect_is_the_first_in_its_queue_when_it_has_waited_and_none_waits_longer(
    queue: Queue,
) -> None:
    add_suspect(queue, waits_s=0.0)
    assert first_of(queue) is None
    queue.clock.advance(PATIENCE_S)
    found = first_of(queue)
    assert found is not None
    assert (found.id, found.is_suspect) == (job_id(SUSPECT), True)
    assert first_of(queue, Look(queues=(JobPriority.HIGH, JobPriority.LOW))) is None


def test_one_that_waits_for_equal_work_is_not_the_first(queue: Queue) -> None:
    add(queue, 2, work_key=f"work {SUSPECT}")
    assert queue.claim() is not None
    add_suspect(queue, waits_s=PATIENCE_S)
    assert first_of(queue) is None


def test_one_worker_makes_way_for_a_suspect_and_another_one_when_that_was_not_enough(
    queue: Queue,
) -> None:
    add_suspect(queue, waits_s=PATIENCE_S - 1.0)
    others = a_watch(queue, started_at=0.0, queues=(JobPriority.HIGH,))
    first, second = a_watch(queue, started_at=1.0), a_watch(queue, started_at=2.0)

    def who() -> list[bool]:
        return [watch.look() is not None for watch in (others, first, second)]

    assert who() == [False, False, False]
    queue.clock.advance(1.0)
    assert who() == [False, True, False]
    queue.clock.advance(PATIENCE_S)
    for started_at in (1.0, 2.0):
        a_watch(queue, started_at=started_at)  # a sign of life
    assert who() == [False, True, True]
    assert queue.claim() is not None
    assert who() == [False, False, False]


def test_nobody_makes_way_while_others_wait_longer_than_the_suspect(queue: Queue) -> None:
    add(queue, 2)
    queue.clock.advance(PATIENCE_S)
    add_suspect(queue, waits_s=0.0)
    queue.clock.advance(PATIENCE_S)
    watch = a_watch(queue, started_at=1.0)
    assert watch.look() is None
    assert queue.claim(only=job_id(2)) is not None
    assert watch.look() == WAITED


def test_whether_there_is_a_suspect_is_asked_every_few_seconds(queue: Queue) -> None:
    now = 0.0
    watch = a_watch(queue, started_at=1.0)
    watch.every_s, watch.clock = 5.0, lambda: now
    assert watch.look() is None
    add_suspect(queue, waits_s=PATIENCE_S)
    now = 4.0
    assert watch.look() is None
    now = 5.0
    assert watch.look() == WAITED
    assert [watch.found(), watch.found()] == [WAITED, None]
