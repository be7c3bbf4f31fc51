"""A caretaker's sweep over both databases: one job that cannot be changed is in nobody's way."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.adapters.bell import LocalBell
from stretto.contexts.queue.caretaker import Caretaker
from stretto.contexts.queue.dispatcher import JobDispatcher
from stretto.contexts.queue.model import EVERY_QUEUE, LeaseTerms, WorkerNode
from stretto.contexts.queue.retry import RetryHandler
from tests.queues import TERMS, Queue, queue_on
from tests.servers import Database
from tests.unit.queue.jobs import a_submission, job_id
from tests.unit.queue.shop import FAST, until

NODE = WorkerNode(
    id="one",
    host="here",
    pid=1,
    concurrency=1,
    queues=EVERY_QUEUE,
    started_at=Timestamp(1.0),
)


@pytest.fixture
def queue(database: Database) -> Queue:
    return queue_on(database)


def caretaker(
    queue: Queue, *, checked: Callable[[], None] = lambda: None, terms: LeaseTerms = TERMS
) -> Caretaker:
    return Caretaker(
        dispatcher=JobDispatcher(
            jobs=queue.jobs, bell=LocalBell(), publish=lambda _: None, terms=terms
        ),
        listed=queue.jobs,
        housekeeping=queue.jobs,
        workers=queue.workers,
        retries=RetryHandler(),
        node=lambda: NODE,
        running=lambda: (),
        checked=checked,
    )


def left_by_a_dead_worker(queue: Queue, count: int) -> None:
    for number in range(1, count + 1):
        queue.jobs.add(a_submission(number))
        assert queue.claim("dead") is not None
    queue.clock.advance(TERMS.lease_s + 1.0)


def test_a_job_that_cannot_be_read_keeps_no_other_from_being_found(
    queue: Queue, database: Database
) -> None:
    left_by_a_dead_worker(queue, 3)
    with database.write() as connection:
        statement = "UPDATE queue_job SET work = '{', lease_until = lease_until - 1 WHERE id = :id"
        connection.execute(statement, {"id": str(job_id(1))})
    caretaker(queue).sweep()
    for number in (2, 3):
        job = queue.jobs.get(job_id(number))
        assert job is not None
        assert job.status is JobStatus.QUEUED


def test_jobs_that_cannot_be_changed_come_last_when_signs_of_life_are_due(
    queue: Queue, database: Database
) -> None:
    """A row that somebody has locked takes seconds, each time."""
    left_by_a_dead_worker(queue, 3)
    with database.write() as connection:
        statement = "UPDATE queue_job SET work = '{', lease_until = lease_until - 1 WHERE id <> :id"
        connection.execute(statement, {"id": str(job_id(3))})
    hurried = caretaker(queue, terms=LeaseTerms(beat_s=0.0))
    for _ in range(3):
        hurried.sweep()
    job = queue.jobs.get(job_id(3))
    assert job is not None
    assert job.status is JobStatus.QUEUED


def test_a_watchdog_that_fails_ends_no_signs_of_life(queue: Queue) -> None:
    failed = threading.Semaphore(0)

    def fail() -> None:
        failed.release()
        raise ZeroDivisionError

    one = caretaker(queue, checked=fail, terms=FAST)
    one.start()
    try:
        assert failed.acquire(timeout=10.0)
        queue.workers.leave(NODE.id)
        until(lambda: queue.workers.alive() == (NODE,))
    finally:
        one.end()


def test_a_job_whose_row_is_locked_costs_no_other_its_lease(
    queue: Queue, database: Database
) -> None:
    """By a machine that vanished in the middle of a transaction, say."""
    if database.dialect != "postgresql":
        pytest.skip("SQLite has no locks of rows")
    for number in (1, 2):
        queue.jobs.add(a_submission(number))
        assert queue.claim(NODE.id) is not None
    queue.clock.advance(TERMS.lease_s - 1.0)
    held, done = threading.Event(), threading.Event()

    def lock() -> None:
        with database.write() as connection:
            statement = "SELECT 1 FROM queue_job WHERE id = :id FOR UPDATE"
            connection.execute(statement, {"id": str(job_id(1))}).fetchall()
            held.set()
            done.wait(60.0)

    vanished = threading.Thread(target=lock)
    vanished.start()
    try:
        assert held.wait(10.0)
        queue.jobs.renew([(job_id(1), 1), (job_id(2), 1)], TERMS.lease)
        queue.clock.advance(2.0)
        assert queue.jobs.expired(10) == (job_id(1),)
    finally:
        done.set()
        vanished.join()
