"""Jobs in the background: queued, processed, watched, cancelled; each ends in one final state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stretto.contexts.core.errors import Cancelled, InvalidIdentifier, MediaNotFound, StorageFull
from stretto.contexts.core.events import JobCompleted, JobFailed, JobQueued
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.processing.jobs import ProcessingJobs
from tests.fakes.engine import MemoryEngine
from tests.unit.processing.flow import ENGLISH, TALK, Studio, a_talk, an_engine

SOON_S = 20.0
Start = Callable[[MemoryEngine], ProcessingJobs]


@pytest.fixture
def studio() -> Studio:
    return Studio({TALK.name: a_talk(45.0), "other.wav": a_talk(30.0, seed=5)})


@pytest.fixture
def start(studio: Studio) -> Iterator[Start]:
    opened: list[ProcessingJobs] = []

    def jobs_over(engine: MemoryEngine) -> ProcessingJobs:
        service = studio.service(engine)
        opened.append(
            ProcessingJobs(
                service, store=studio.jobs, publish=studio.bus.publish, clock=studio.clock
            )
        )
        return opened[-1]

    yield jobs_over
    for jobs in opened:
        jobs.close()


def test_a_job_is_queued_and_completed_and_names_its_transcript(studio, start: Start) -> None:
    jobs = start(an_engine())
    job_id = jobs.submit_job(TALK, ENGLISH)
    transcript = jobs.result(job_id, timeout_s=SOON_S)
    job = jobs.get_job(job_id)
    assert (job.status, job.transcript_id, job.error) == (
        JobStatus.COMPLETED,
        transcript.id,
        None,
    )
    assert jobs.get_progress(job_id).fraction == pytest.approx(1.0)
    about_jobs = [e for e in studio.events if isinstance(e, JobQueued | JobCompleted)]
    assert [type(event) for event in about_jobs] == [JobQueued, JobCompleted]


def test_a_job_at_work_says_so_and_the_next_one_waits(start: Start) -> None:
    engine = an_engine(held=True)
    jobs = start(engine)
    first, second = jobs.submit_job(TALK, ENGLISH), jobs.submit_job(Path("other.wav"), ENGLISH)
    assert engine.entered.wait(SOON_S)
    assert jobs.get_job(first).status is JobStatus.PROCESSING
    assert jobs.get_job(second).status is JobStatus.QUEUED
    with pytest.raises(TimeoutError):
        jobs.result(second, timeout_s=0.0)
    engine.released.set()
    assert jobs.result(second, timeout_s=SOON_S).file == "other.wav"
    assert jobs.get_job(first).status is JobStatus.COMPLETED


def test_a_running_job_can_be_cancelled(studio, start: Start) -> None:
    engine = an_engine(held=True)
    jobs = start(engine)
    job_id = jobs.submit_job(TALK, ENGLISH)
    assert engine.entered.wait(SOON_S)
    jobs.cancel(job_id)
    with pytest.raises(Cancelled):
        jobs.result(job_id, timeout_s=SOON_S)
    assert jobs.get_job(job_id).status is JobStatus.CANCELLED


def test_a_queued_job_that_is_cancelled_never_starts(studio, start: Start) -> None:
    engine = an_engine(held=True)
    jobs = start(engine)
    first, second = jobs.submit_job(TALK, ENGLISH), jobs.submit_job(Path("other.wav"), ENGLISH)
    assert engine.entered.wait(SOON_S)
    jobs.cancel(second)
    engine.released.set()
    with pytest.raises(Cancelled):
        jobs.result(second, timeout_s=SOON_S)
    jobs.result(first, timeout_s=SOON_S)
    assert jobs.get_job(second).status is JobStatus.CANCELLED
    assert len(studio.reader.opened) == 1


def test_cancelling_a_finished_job_changes_nothing(start: Start) -> None:
    jobs = start(an_engine())
    job_id = jobs.submit_job(TALK, ENGLISH)
    jobs.result(job_id, timeout_s=SOON_S)
    jobs.cancel(job_id)
    assert jobs.get_job(job_id).status is JobStatus.COMPLETED


def test_a_job_that_fails_keeps_its_reason_and_the_next_one_runs(studio, start: Start) -> None:
    jobs = start(an_engine())
    lost, good = jobs.submit_job(Path("lost.wav"), ENGLISH), jobs.submit_job(TALK, ENGLISH)
    with pytest.raises(MediaNotFound):
        jobs.result(lost, timeout_s=SOON_S)
    job = jobs.get_job(lost)
    assert job.status is JobStatus.FAILED
    assert isinstance(job.error, MediaNotFound)
    (event,) = (e for e in studio.events if isinstance(e, JobFailed))
    assert event.reason == job.error.message
    jobs.result(good, timeout_s=SOON_S)
    assert jobs.get_job(good).status is JobStatus.COMPLETED


def test_a_job_that_meets_a_bug_fails_too_and_does_not_stay_at_work(studio, start: Start) -> None:
    jobs = start(an_engine(broken_by=ValueError("a bug")))
    job_id = jobs.submit_job(TALK, ENGLISH)
    with pytest.raises(ValueError, match="a bug"):
        jobs.result(job_id, timeout_s=SOON_S)
    assert jobs.get_job(job_id).status is JobStatus.FAILED
    assert any(isinstance(event, JobFailed) for event in studio.events)


def test_an_unknown_job_is_named(start: Start) -> None:
    jobs, stranger = start(an_engine()), JobId.new()
    for ask in (jobs.get_job, jobs.get_progress, jobs.cancel, jobs.result):
        with pytest.raises(InvalidIdentifier, match=str(stranger)):
            ask(stranger)


def test_closing_cancels_what_runs_and_what_waits(start: Start) -> None:
    engine = an_engine(held=True)
    jobs = start(engine)
    both = [jobs.submit_job(TALK, ENGLISH), jobs.submit_job(Path("other.wav"), ENGLISH)]
    assert engine.entered.wait(SOON_S)
    jobs.close()
    assert [jobs.get_job(job).status for job in both] == [JobStatus.CANCELLED] * 2


def test_a_job_is_kept_before_its_number_is_given_out_and_after_each_change(
    studio: Studio, start: Start
) -> None:
    jobs = start(an_engine())
    job_id = jobs.submit_job(TALK, ENGLISH)
    jobs.result(job_id, timeout_s=SOON_S)
    kept = [(job.status, [type(e) for e in events]) for job, events in studio.jobs.history]
    assert kept == [
        (JobStatus.QUEUED, [JobQueued]),
        (JobStatus.PROCESSING, []),
        (JobStatus.COMPLETED, [JobCompleted]),
    ]


def test_a_job_that_cannot_be_kept_is_not_accepted(studio: Studio, start: Start) -> None:
    jobs = start(an_engine())
    studio.jobs.trouble = StorageFull()
    with pytest.raises(StorageFull):
        jobs.submit_job(TALK, ENGLISH)
    assert studio.events == []


def test_trouble_with_keeping_does_not_stop_a_job_that_was_accepted(
    studio: Studio, start: Start
) -> None:
    engine = an_engine(held=True)
    jobs = start(engine)
    job_id = jobs.submit_job(TALK, ENGLISH)
    assert engine.entered.wait(SOON_S)
    studio.jobs.trouble = StorageFull()
    engine.released.set()
    jobs.result(job_id, timeout_s=SOON_S)
    assert jobs.get_job(job_id).status is JobStatus.COMPLETED


def test_a_job_of_an_earlier_process_is_still_known(studio: Studio, start: Start) -> None:
    job_id = start(an_engine()).submit_job(TALK, ENGLISH)
    assert start(an_engine()).get_job(job_id).file == TALK.name
