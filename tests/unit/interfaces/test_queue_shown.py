"""What is said of jobs on the terminal: where they stand, and why they take longer."""

from __future__ import annotations

import time

import pytest

from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.queue import family, transitions
from stretto.contexts.queue.adapters.bell import LocalBell
from stretto.contexts.queue.dead_letter import DeadLetterHandler
from stretto.contexts.queue.dispatcher import JobDispatcher
from stretto.contexts.queue.model import JobError
from stretto.contexts.queue.service import QueueService
from stretto.interfaces.cli.queue import (
    dead_letters,
    list_jobs,
    show_dead_letter,
    show_job,
    show_workers,
    watch_job,
)
from tests.fakes.queue import FakeDatabaseClock, MemoryQueue
from tests.queues import POLICY, Queue
from tests.unit.queue.jobs import a_submission, in_parts, job_id

AWAY = JobError(kind="TransientEngineFailure", message="The service is away.")
JOB = str(job_id(1))


class House:
    """A queue whose clock is an hour ahead of the one of whoever looks."""

    def __init__(self) -> None:
        twin = MemoryQueue(FakeDatabaseClock(time.time() + 3600.0))
        dispatcher = JobDispatcher(jobs=twin, bell=LocalBell(), publish=EventBus().publish)
        self.queue = Queue(twin, twin, twin, twin.clock)
        self.service = QueueService(
            dispatcher=dispatcher,
            listed=twin,
            log=twin,
            workers=twin,
            dead_letters=DeadLetterHandler(dispatcher=dispatcher, listed=twin),
            clock=lambda: Timestamp(twin.clock.unix_s),
            identity=lambda path: (path,),
        )

    def fails(self, *, retryable: bool) -> JobId:
        """The next job, with the error of a service that is away."""
        job = self.queue.claim()
        assert job is not None
        self.queue.jobs.change(
            job.id,
            lambda found, now: transitions.failed(
                found,
                now,
                fence=job.fence,
                error=AWAY,
                retryable=retryable,
                outage=retryable,
                policy=POLICY,
            ),
        )
        return job.id

    def divide(self, parts: int) -> None:
        job = self.queue.claim()
        assert job is not None
        into = in_parts(job, parts)
        self.queue.jobs.change(
            job.id, lambda found, now: family.divided(found, now, fence=job.fence, into=into)
        )


@pytest.fixture
def house() -> House:
    return House()


def test_a_job_says_why_it_waits_and_until_when(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.queue.jobs.add(a_submission())
    house.fails(retryable=True)
    show_job(house.service, JOB, as_json=False)
    said = capsys.readouterr().out
    assert "error:       The service is away." in said
    assert "attempts:    1 (0 errors, 1 outage, 0 crashes)" in said
    (waits,) = [line for line in said.splitlines() if line.startswith("waits:")]
    assert waits.endswith("Z, then it is tried again")


def test_a_divided_one_says_which_of_its_chunks_waits(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.queue.jobs.add(a_submission())
    house.divide(3)
    house.fails(retryable=True)
    show_job(house.service, JOB, as_json=False)
    said = capsys.readouterr().out
    assert "Chunk 0 is to be tried again. The service is away." in said
    assert "waits:       chunk 0 until " in said


def test_a_list_says_what_went_wrong_with_each(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.queue.jobs.add(a_submission())
    house.fails(retryable=False)
    list_jobs(house.service, status="failed", limit=20, after=None, as_json=False)
    cells = capsys.readouterr().out.rstrip("\n").split("\t")
    assert cells[2:] == ["failed", "medium", "0%", "talk 1.mp3", "The service is away."]
    show_dead_letter(house.service, JOB, as_json=False)
    assert "refused: another try would not help" in capsys.readouterr().out


def test_where_there_is_nothing_that_is_said(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    list_jobs(house.service, status="failed", limit=20, after=None, as_json=False)
    assert dead_letters(house.service, (), every=True) == []
    list_jobs(house.service, status=None, limit=20, after=None, as_json=False)
    show_workers(house.service, as_json=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "No job was given up.",
        "No job was given up.",
        "No such job.",
        "No worker is running. Start one: stretto worker",
    ]


def test_what_happened_is_told_in_short_numbers(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.queue.jobs.add(a_submission())
    house.queue.clock.advance(2.946047067642212)
    house.fails(retryable=False)
    assert watch_job(house.service, JOB, after=0, as_json=False) == 1
    assert "waited_s=2.95" in capsys.readouterr().out
