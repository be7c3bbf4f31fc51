"""A job that this version cannot read is in no other's way, and is kept for one that can."""

from __future__ import annotations

import logging

import pytest

from stretto.contexts.core.errors import JobUnreadable
from stretto.contexts.queue.adapters.transaction import UNREADABLE_WAITS_S
from stretto.contexts.queue.model import EVERY_QUEUE, Look, Wanted
from tests.queues import Queue, queue_on
from tests.servers import Database
from tests.unit.queue.jobs import a_submission, job_id

UNREADABLE = {
    "text that is no JSON": ("work", "{"),
    "a field of another kind": ("progress", '{"fraction": "half"}'),
    "a cause of a later version": ("cause", "struck by lightning"),
    "a transcript whose id is none": ("transcript_id", "the second one"),
}


@pytest.fixture
def queue(database: Database) -> Queue:
    return queue_on(database)


def spoil(database: Database, column: str, value: str, *, number: int = 1) -> None:
    with database.write() as connection:
        connection.execute(
            f"UPDATE queue_job SET {column} = :value WHERE id = :id",
            {"value": value, "id": str(job_id(number))},
        )


@pytest.mark.parametrize(("column", "value"), UNREADABLE.values(), ids=UNREADABLE)
def test_the_job_behind_it_is_claimed(
    queue: Queue, database: Database, caplog: pytest.LogCaptureFixture, column: str, value: str
) -> None:
    for number in (1, 2):
        queue.jobs.add(a_submission(number))
    spoil(database, column, value)
    with caplog.at_level(logging.ERROR):
        job = queue.claim()
    assert job is not None
    assert job.id == job_id(2)
    assert f"The job {job_id(1)} cannot be read" in caplog.text
    assert queue.claim() is None


def test_it_is_claimed_once_it_can_be_read(queue: Queue, database: Database) -> None:
    queue.jobs.add(a_submission(1))
    with database.read() as connection:
        (work,) = connection.execute("SELECT work FROM queue_job").fetchone()
    spoil(database, "work", "{")
    assert queue.claim() is None
    spoil(database, "work", work)
    queue.clock.advance(UNREADABLE_WAITS_S - 1.0)
    assert queue.claim() is None
    queue.clock.advance(2.0)
    job = queue.claim()
    assert job is not None
    assert job.id == job_id(1)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_others_are_listed_in_pages_as_long_as_ever(
    queue: Queue, database: Database, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = range(1, 6)
    for number in numbers:
        queue.jobs.add(a_submission(number))
    for number in (2, 4):
        spoil(database, "work", "{", number=number)
    listed, page = [], queue.jobs.page(Wanted(limit=limit))
    while page:
        assert len(page) == min(limit, 3 - len(listed))
        listed += page
        page = queue.jobs.page(Wanted(limit=limit, after=page[-1]))
    assert {job.id for job in listed} == {job_id(1), job_id(3), job_id(5)}
    assert f"The job {job_id(2)} cannot be read" in caplog.text


def test_whoever_asks_for_it_hears_which_it_is_and_what_to_do(
    queue: Queue, database: Database
) -> None:
    queue.jobs.add(a_submission(1))
    spoil(database, "work", "{")
    with pytest.raises(JobUnreadable, match=f"The job {job_id(1)} cannot be read.*update the one"):
        queue.jobs.get(job_id(1))


def test_a_worker_sees_its_other_jobs_and_what_comes_after_it(
    queue: Queue, database: Database
) -> None:
    for number in (1, 2):
        queue.jobs.add(a_submission(number))
        assert queue.claim() is not None
    queue.jobs.add(a_submission(3))
    for number in (1, 3):
        spoil(database, "work", "{", number=number)
    assert [job.id for job in queue.jobs.held_by("worker 1")] == [job_id(2)]
    assert queue.jobs.first(Look(queues=EVERY_QUEUE)) is None


def test_whether_a_job_waits_is_seen_without_reading_it(queue: Queue, database: Database) -> None:
    queue.jobs.add(a_submission(1))
    spoil(database, "work", "{")
    assert queue.jobs.waits(Look(queues=EVERY_QUEUE))
