"""What several threads want of the queue at the same moment is one transaction, in which each gets
what it would get alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from stretto.contexts.core.errors import KeyReused, UnknownJob
from stretto.contexts.core.job import JobStatus
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.queue import family, transitions
from stretto.contexts.queue.adapters.steps import Adding, Changing, Claiming, JobSteps, Step
from stretto.contexts.queue.model import (
    EVERY_QUEUE,
    Change,
    Job,
    JobPriority,
    JobProgress,
    Moment,
)
from stretto.contexts.queue.priority import PriorityManager
from stretto.contexts.queue.transitions import claimed
from tests.queues import TERMS, Queue, queue_on
from tests.servers import Database
from tests.unit.queue.jobs import a_submission, in_parts, job_id


@dataclass(frozen=True)
class House:
    database: Database
    queue: Queue

    def at_once(self, *steps: Step) -> list[Any]:
        server = self.database.dialect == "postgresql"
        all_of_them = JobSteps(outbox=OutboxWriter(), clock=self.queue.clock, server=server)
        return self.database.transact(lambda connection: all_of_them.run(connection, steps))

    def status(self, number: int) -> JobStatus:
        job = self.queue.jobs.get(job_id(number))
        assert job is not None
        return job.status


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest) -> House:
    database = request.getfixturevalue(f"{request.param}_database")
    return House(database, queue_on(database))


def claiming(holder: str = "worker", *, turn: int = 0) -> Claiming:
    def take(job: Job, now: Moment) -> Change:
        return claimed(job, now, holder=holder, lease=TERMS.lease(now))

    looks = PriorityManager().looks(EVERY_QUEUE, turn=turn)
    return Claiming(looks=looks, take=take, suspects=True, only=None)


def finishing(job: Job) -> Changing:
    decide = partial(
        transitions.completed, fence=job.fence, transcript_id=None, progress=JobProgress()
    )
    return Changing(job_id=job.id, decide=decide)


def numbers(changes: list[Change | None]) -> list[int | None]:
    return [change.job.id.value.int if change else None for change in changes]


def test_each_claim_gets_another_job_and_the_urgent_ones_come_first(house: House) -> None:
    for number, priority in ((1, JobPriority.LOW), (2, JobPriority.MEDIUM), (3, JobPriority.HIGH)):
        house.queue.jobs.add(a_submission(number, priority=priority))
    found = house.at_once(*(claiming(f"worker {n}") for n in range(4)))
    assert numbers(found) == [3, 2, 1, None]
    assert {change.job.holder for change in found[:3]} == {f"worker {n}" for n in range(3)}
    assert all(house.status(number) is JobStatus.PROCESSING for number in (1, 2, 3))


def test_equal_work_is_claimed_once_and_what_is_behind_it_is_found(house: House) -> None:
    for number in range(1, 5):
        house.queue.jobs.add(a_submission(number, work_key="the same"))
        house.queue.clock.advance(1.0)
    house.queue.jobs.add(a_submission(5))
    assert numbers(house.at_once(*(claiming() for _ in range(3)))) == [1, 5, None]


def test_a_claim_finds_what_was_handed_back_or_added_in_the_same_moment(house: House) -> None:
    house.queue.jobs.add(a_submission(1))
    house.queue.claim()
    back = Changing(job_id=job_id(1), decide=partial(transitions.handed_back, fence=1))
    found = house.at_once(back, Adding(a_submission(2)), claiming(), claiming(turn=3), claiming())
    assert sorted(numbers(found[2:]), key=str) == [1, 2, None]
    assert {house.status(1), house.status(2)} == {JobStatus.PROCESSING}


def test_the_last_two_parts_of_a_file_may_end_in_the_same_moment(house: House) -> None:
    house.queue.jobs.add(a_submission())
    job = house.queue.claim()
    assert job is not None
    into = in_parts(job, 2)
    house.queue.jobs.change(job.id, lambda job, now: family.divided(job, now, fence=1, into=into))
    parts = [change.job for change in house.at_once(claiming(), claiming())]
    house.at_once(*map(finishing, parts))
    assert house.status(1) is JobStatus.QUEUED
    whole = house.queue.claim()
    assert whole is not None
    assert whole.division is not None
    assert (whole.id, whole.division.open) == (job_id(1), 0)
    assert house.queue.kinds(job_id(1)).count("JobProgressed") >= 2


def test_two_changes_of_one_job_follow_each_other(house: House) -> None:
    house.queue.jobs.add(a_submission())
    job = house.queue.claim()
    assert job is not None
    cancel = Changing(job_id=job.id, decide=transitions.cancelled)
    again = Changing(job_id=job.id, decide=partial(transitions.handed_back, fence=1))
    house.at_once(cancel, again)
    assert house.status(1) is JobStatus.CANCELLED
    assert house.queue.kinds(job.id) == ["JobQueued", "JobStarted", "JobCancelled"]


def test_when_one_cannot_be_done_none_is(house: House) -> None:
    house.queue.jobs.add(a_submission(1))
    nobody = Changing(job_id=job_id(99), decide=transitions.cancelled)
    with pytest.raises(UnknownJob):
        house.at_once(claiming(), Adding(a_submission(2)), nobody)
    assert house.status(1) is JobStatus.QUEUED
    assert house.queue.jobs.get(job_id(2)) is None


def test_one_key_twice_in_the_same_moment_is_one_job(house: House) -> None:
    first, second = house.at_once(
        Adding(a_submission(1, key="k", digest="d")), Adding(a_submission(2, key="k", digest="d"))
    )
    assert first.job.id == second.job.id == job_id(1)
    with pytest.raises(KeyReused):
        house.at_once(Adding(a_submission(3, key="k", digest="another")))
