"""Which jobs could be claimed, on both databases: those that messages have to wait for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.queue.adapters.celery_ready import SqlReadyJobs
from stretto.contexts.queue.model import Change, Job, JobPriority, Moment
from tests.queues import Queue, queue_on
from tests.servers import Database
from tests.unit.queue.jobs import a_submission, job_id

MEDIUM = JobPriority.MEDIUM


@pytest.fixture
def queue(database: Database) -> Queue:
    return queue_on(database)


@pytest.fixture
def ready(database: Database, queue: Queue) -> SqlReadyJobs:
    return SqlReadyJobs(database, clock=queue.clock)


def add(queue: Queue, number: int, *, in_s: float = 0.0, **given: Any) -> None:
    """A job that is to be claimed so many seconds from now, or was so long ago."""

    def decide(job: Job, now: Moment) -> Change:
        return Change(replace(job, run_at=Timestamp(now.at.unix_s + in_s)))

    queue.jobs.add(a_submission(number, **given))
    queue.jobs.change(job_id(number), decide)


def test_the_one_that_is_ready_longest_comes_first(queue: Queue, ready: SqlReadyJobs) -> None:
    for number, in_s in ((1, -5.0), (2, -9.0), (3, -7.0)):
        add(queue, number, in_s=in_s)
    assert ready.ready([MEDIUM], limit=2)[MEDIUM] == (job_id(2), job_id(3))


def test_only_the_jobs_of_the_queues_count(queue: Queue, ready: SqlReadyJobs) -> None:
    add(queue, 1, priority=JobPriority.HIGH)
    add(queue, 2, priority=JobPriority.LOW)
    found = ready.ready([MEDIUM, JobPriority.HIGH], limit=10)
    assert found == {MEDIUM: (), JobPriority.HIGH: (job_id(1),)}


def test_a_job_that_is_to_wait_is_ready_when_its_time_has_come(
    queue: Queue, ready: SqlReadyJobs
) -> None:
    add(queue, 1, in_s=4.0)
    assert ready.ready([MEDIUM], limit=10)[MEDIUM] == ()
    queue.clock.advance(5.0)
    assert ready.ready([MEDIUM], limit=10)[MEDIUM] == (job_id(1),)


def test_one_that_is_worked_on_is_not_ready(queue: Queue, ready: SqlReadyJobs) -> None:
    add(queue, 1)
    assert queue.claim() is not None
    assert ready.ready([MEDIUM], limit=10)[MEDIUM] == ()


def test_nor_is_one_whose_work_is_being_done(queue: Queue, ready: SqlReadyJobs) -> None:
    for number, in_s in ((1, -9.0), (2, -5.0)):
        add(queue, number, in_s=in_s, work_key="the same")
    assert ready.ready([MEDIUM], limit=10)[MEDIUM] == (job_id(1), job_id(2))
    assert queue.claim() is not None
    assert ready.ready([MEDIUM], limit=10)[MEDIUM] == ()
    queue.clock.advance(31.0)
    queue.sweep()
    assert ready.ready([MEDIUM], limit=10)[MEDIUM] == (job_id(2), job_id(1))
