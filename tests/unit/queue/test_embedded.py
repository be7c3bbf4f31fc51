"""Jobs in the background: queued, processed, watched, cancelled; each ends in one final state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stretto.bootstrap.queueing import FileWorkshop
from stretto.contexts.core.errors import (
    Cancelled,
    MediaNotFound,
    StorageFull,
    StrettoError,
    UnknownJob,
)
from stretto.contexts.core.events import JobCompleted, JobFailed, JobQueued, JobStarted
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.queue.dead_letter import DeadLetterHandler
from stretto.contexts.queue.embedded import EmbeddedQueue
from stretto.contexts.queue.model import FileWork
from stretto.contexts.queue.service import QueueService
from stretto.settings import Settings
from tests.fakes.engine import MemoryEngine
from tests.fakes.queue import FakeDatabaseClock, MemoryQueue
from tests.queues import Queue
from tests.unit.processing.flow import ENGLISH, TALK, Studio, a_talk, an_engine
from tests.unit.queue.shop import Crew

SOON_S = 20.0
OTHER = Path("other.wav")


class Jobs(EmbeddedQueue):
    """The queue of a process, in the words of a library's user."""

    transcripts: list[Transcript]

    def submit_job(self, path: Path, **given: str) -> JobId:
        return self.submit(FileWork(path=str(path), options=ENGLISH), **given)


Start = Callable[[MemoryEngine], Jobs]


@pytest.fixture
def studio() -> Studio:
    return Studio({TALK.name: a_talk(45.0), OTHER.name: a_talk(30.0, seed=5)})


@pytest.fixture
def twin() -> MemoryQueue:
    return MemoryQueue(FakeDatabaseClock())


@pytest.fixture
def start(studio: Studio, twin: MemoryQueue, tmp_path: Path) -> Iterator[Start]:
    opened: list[Jobs] = []

    def jobs_over(engine: MemoryEngine) -> Jobs:
        processing = studio.service(engine)
        crew = Crew(Queue(twin, twin, twin, twin.clock))
        crew.bus = studio.bus
        workshop = FileWorkshop(
            Settings(home=tmp_path), processing, with_engine=lambda _: processing
        )
        dispatcher = crew.worker().dispatcher
        service = QueueService(
            dispatcher=dispatcher,
            listed=twin,
            log=twin,
            workers=twin,
            dead_letters=DeadLetterHandler(dispatcher=dispatcher, listed=twin),
            clock=studio.clock,
            identity=lambda path: (path,),
        )

        def worker(source):
            return crew.worker(
                source=source,
                workshop=workshop,
                name=f"process {len(opened)}",
                bell=dispatcher.bell,
            )

        opened.append(Jobs(service, worker=worker))
        return opened[-1]

    yield jobs_over
    for jobs in opened:
        jobs.close()


def test_a_job_is_queued_and_completed_and_names_its_transcript(studio, start: Start) -> None:
    jobs = start(an_engine())
    job_id = jobs.submit_job(TALK)
    done = jobs.completed(job_id, timeout_s=SOON_S)
    job = jobs.job(job_id)
    assert (job.status, job.transcript_id, job.error) == (
        JobStatus.COMPLETED,
        done.transcript_id,
        None,
    )
    assert done.transcript_id is not None
    assert studio.transcripts.get(done.transcript_id) is not None
    assert jobs.progress(job_id).fraction == pytest.approx(1.0)
    about_jobs = [e for e in studio.events if isinstance(e, JobQueued | JobStarted | JobCompleted)]
    assert [type(event) for event in about_jobs] == [JobQueued, JobStarted, JobCompleted]


def test_a_job_at_work_says_so_and_the_next_one_waits(start: Start) -> None:
    engine = an_engine(held=True)
    jobs = start(engine)
    first, second = jobs.submit_job(TALK), jobs.submit_job(OTHER)
    assert engine.entered.wait(SOON_S)
    assert jobs.job(first).status is JobStatus.PROCESSING
    assert jobs.job(second).status is JobStatus.QUEUED
    with pytest.raises(TimeoutError):
        jobs.completed(second, timeout_s=0.0)
    engine.released.set()
    assert jobs.completed(second, timeout_s=SOON_S).file == "other.wav"
    assert jobs.job(first).status is JobStatus.COMPLETED


def test_a_running_job_can_be_cancelled(studio, start: Start) -> None:
    engine = an_engine(held=True)
    jobs = start(engine)
    job_id = jobs.submit_job(TALK)
    assert engine.entered.wait(SOON_S)
    jobs.cancel(job_id)
    with pytest.raises(Cancelled):
        jobs.completed(job_id, timeout_s=SOON_S)
    assert jobs.job(job_id).status is JobStatus.CANCELLED


def test_a_queued_job_that_is_cancelled_never_starts(studio, start: Start) -> None:
    engine = an_engine(held=True)
    jobs = start(engine)
    first, second = jobs.submit_job(TALK), jobs.submit_job(OTHER)
    assert engine.entered.wait(SOON_S)
    jobs.cancel(second)
    engine.released.set()
    with pytest.raises(Cancelled):
        jobs.completed(second, timeout_s=SOON_S)
    jobs.completed(first, timeout_s=SOON_S)
    assert jobs.job(second).status is JobStatus.CANCELLED
    assert len(studio.reader.opened) == 1


def test_cancelling_a_finished_job_changes_nothing(start: Start) -> None:
    jobs = start(an_engine())
    job_id = jobs.submit_job(TALK)
    jobs.completed(job_id, timeout_s=SOON_S)
    jobs.cancel(job_id)
    assert jobs.job(job_id).status is JobStatus.COMPLETED


def test_a_job_that_fails_keeps_its_reason_and_the_next_one_runs(studio, start: Start) -> None:
    jobs = start(an_engine())
    lost, good = jobs.submit_job(Path("lost.wav")), jobs.submit_job(TALK)
    with pytest.raises(MediaNotFound):
        jobs.completed(lost, timeout_s=SOON_S)
    job = jobs.job(lost)
    assert job.status is JobStatus.FAILED
    assert isinstance(job.error, MediaNotFound)
    (event,) = (e for e in studio.events if isinstance(e, JobFailed))
    assert event.reason == job.error.message
    jobs.completed(good, timeout_s=SOON_S)
    assert jobs.job(good).status is JobStatus.COMPLETED


def test_a_job_that_meets_a_bug_fails_too_and_does_not_stay_at_work(studio, start: Start) -> None:
    jobs = start(an_engine(broken_by=ValueError("a bug")))
    job_id = jobs.submit_job(TALK)
    with pytest.raises(StrettoError, match="a bug"):
        jobs.completed(job_id, timeout_s=SOON_S)
    assert jobs.job(job_id).status is JobStatus.FAILED
    assert any(isinstance(event, JobFailed) for event in studio.events)


def test_an_unknown_job_is_named(start: Start) -> None:
    jobs, stranger = start(an_engine()), JobId.new()
    for ask in (jobs.job, jobs.progress, jobs.cancel, jobs.completed):
        with pytest.raises(UnknownJob, match=str(stranger)):
            ask(stranger)


def test_closing_cancels_what_runs_and_what_waits(start: Start) -> None:
    engine = an_engine(held=True)
    jobs = start(engine)
    both = [jobs.submit_job(TALK), jobs.submit_job(OTHER)]
    assert engine.entered.wait(SOON_S)
    jobs.close()
    assert [jobs.job(job).status for job in both] == [JobStatus.CANCELLED] * 2


def test_a_job_that_cannot_be_kept_is_not_accepted(
    studio: Studio, twin: MemoryQueue, start: Start
) -> None:
    jobs = start(an_engine())
    twin.trouble = StorageFull()
    with pytest.raises(StorageFull):
        jobs.submit_job(TALK)
    assert studio.events == []
    twin.trouble = None


def test_a_job_of_an_earlier_process_is_still_known(start: Start) -> None:
    job_id = start(an_engine()).submit_job(TALK)
    assert start(an_engine()).job(job_id).file == TALK.name


def test_a_process_works_on_what_it_submitted_and_nothing_else(
    twin: MemoryQueue, start: Start
) -> None:
    held = an_engine(held=True)
    first = start(held)
    backlog = [first.submit_job(TALK), first.submit_job(OTHER)]
    assert held.entered.wait(SOON_S)
    second = start(an_engine())
    mine = second.submit_job(Path("lost.wav"))
    with pytest.raises(MediaNotFound):
        second.completed(mine, timeout_s=SOON_S)
    assert first.job(backlog[1]).status is JobStatus.QUEUED
    held.released.set()


def test_the_same_file_submitted_twice_is_two_jobs_and_one_computation(
    studio: Studio, start: Start
) -> None:
    one, two = start(an_engine()), start(an_engine())
    first, second = one.submit_job(TALK), two.submit_job(TALK)
    done = [one.completed(first, timeout_s=SOON_S), two.completed(second, timeout_s=SOON_S)]
    assert first != second
    assert done[0].transcript_id == done[1].transcript_id
    assert len(studio.reader.opened) == 1


def test_the_same_key_is_the_same_job(start: Start) -> None:
    jobs = start(an_engine())
    first = jobs.submit_job(TALK, key="order 7")
    assert jobs.submit_job(TALK, key="order 7") == first
    jobs.completed(first, timeout_s=SOON_S)
    assert jobs.submit_job(TALK, key="order 7") == first


def test_closing_leaves_what_another_process_submitted_with_the_same_key(start: Start) -> None:
    engine = an_engine(held=True)
    one, other = start(engine), start(an_engine())
    job_id = one.submit_job(TALK, key="order 7")
    assert engine.entered.wait(SOON_S)
    assert other.submit_job(TALK, key="order 7") == job_id
    other.close()
    engine.released.set()
    assert one.completed(job_id, timeout_s=SOON_S).status is JobStatus.COMPLETED


def test_the_job_of_a_process_that_died_is_done_by_the_next_one_with_its_key(start: Start) -> None:
    work = FileWork(path=str(TALK), options=ENGLISH)
    left_behind = start(an_engine()).service.submit(work, key="order 7")  # nobody works on it
    engine = an_engine(held=True)
    jobs = start(engine)
    assert jobs.submit_job(TALK, key="order 7") == left_behind.id
    assert engine.entered.wait(SOON_S)
    jobs.close()
    assert jobs.job(left_behind.id).status is JobStatus.QUEUED, "it goes back"
    last = start(an_engine())
    last.submit_job(TALK, key="order 7")
    assert last.completed(left_behind.id, timeout_s=SOON_S).status is JobStatus.COMPLETED


def test_what_happens_to_a_job_can_be_followed_to_its_end_and_from_any_place(
    start: Start,
) -> None:
    jobs = start(an_engine())
    job_id = jobs.submit_job(TALK)
    heard = list(jobs.service.follow(job_id))
    names = [type(one.event).__name__ for one in heard]
    assert (names[:2], names[-1]) == (["JobQueued", "JobStarted"], "JobCompleted")
    assert list(jobs.service.follow(job_id, after=heard[1].number)) == heard[2:]
