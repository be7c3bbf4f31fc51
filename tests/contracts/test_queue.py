"""What every queue promises, whatever is behind it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest

from stretto.contexts.core.errors import KeyReused, UnknownJob
from stretto.contexts.core.events import JobQueued, JobStarted
from stretto.contexts.core.identifiers import FileHash, Language, Timestamp, TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.queue import transitions
from stretto.contexts.queue.model import (
    EVERY_QUEUE,
    DeathCause,
    FileWork,
    JobError,
    JobPriority,
    JobProgress,
    Look,
    Wanted,
    WorkerNode,
    WorkerState,
)
from tests.fakes.examples import sha256_of
from tests.queues import POLICY, TERMS, Queue, memory_queue, queue_on
from tests.unit.queue.jobs import a_submission, job_id

TRANSCRIPT = TranscriptId(UUID(int=77))
WHOLE = JobProgress(fraction=1.0, done_s=60.0, total_s=60.0, chunks_done=2, chunks_known=2)
ERROR = JobError(kind="StorageFull", message="Диск полон.\n", trace="Traceback")


@pytest.fixture(params=["twin", "sqlite", "postgresql"])
def queue(request: pytest.FixtureRequest) -> Queue:
    if request.param == "twin":
        return memory_queue()
    return queue_on(request.getfixturevalue(f"{request.param}_database"))


def complete(queue: Queue, number: int, fence: int, **given) -> bool:
    change = queue.jobs.change(
        job_id(number),
        lambda job, now: transitions.completed(
            job, now, fence=fence, transcript_id=TRANSCRIPT, progress=WHOLE
        ),
        **given,
    )
    return change is not None


def test_what_was_added_is_found_and_nothing_else(queue: Queue) -> None:
    work = FileWork(
        path="/talks/зал.mp3",
        options=TranscriptionOptions(language=Language("ru"), prompt="Щ" * 100),
        engine="whisper",
        model="tiny.en",
    )
    change = queue.jobs.add(a_submission(work=work, priority=JobPriority.HIGH))
    found = queue.jobs.get(job_id(1))
    assert found == change.job
    assert found.work == work
    assert queue.jobs.get(job_id(2)) is None
    assert queue.kinds(job_id(1)) == ["JobQueued"]


def test_the_path_of_a_file_is_kept_byte_by_byte(queue: Queue) -> None:
    work = FileWork(path="/talks/зал\udcff\t.mp3")
    queue.jobs.add(a_submission(work=work))
    found = queue.jobs.get(job_id(1))
    assert found is not None
    assert found.work == work


def test_everything_about_a_job_survives_being_written(queue: Queue) -> None:
    queue.jobs.add(a_submission())
    claimed = queue.claim()
    assert claimed is not None
    change = queue.jobs.change(
        job_id(1),
        lambda job, now: transitions.failed(
            job, now, fence=1, error=ERROR, retryable=False, policy=POLICY
        ),
    )
    assert change is not None
    found = queue.jobs.get(job_id(1))
    assert found is not None
    assert (found.status, found.cause, found.errors) == (JobStatus.FAILED, DeathCause.REFUSED, 1)
    assert found.error == ERROR


def test_a_claim_takes_the_oldest_of_the_highest_priority(queue: Queue) -> None:
    for number, priority in enumerate(
        (JobPriority.LOW, JobPriority.MEDIUM, JobPriority.HIGH, JobPriority.HIGH), start=1
    ):
        queue.jobs.add(a_submission(number, priority=priority))
        queue.clock.advance(1.0)
    order = [job.id for _ in range(4) if (job := queue.claim())]
    assert order == [job_id(3), job_id(4), job_id(2), job_id(1)]
    assert queue.claim() is None


def test_the_turn_of_those_who_waited(queue: Queue) -> None:
    queue.jobs.add(a_submission(1, priority=JobPriority.LOW))
    queue.clock.advance(61.0)
    queue.jobs.add(a_submission(2, priority=JobPriority.HIGH))
    first = queue.claim(turn=3)
    assert first is not None
    assert first.id == job_id(1)


def test_a_worker_finds_only_what_is_in_its_queues(queue: Queue) -> None:
    queue.jobs.add(a_submission(1, priority=JobPriority.LOW))
    assert queue.claim(queues=[JobPriority.HIGH, JobPriority.MEDIUM]) is None
    assert queue.jobs.soonest_s([JobPriority.HIGH]) is None
    assert queue.jobs.soonest_s(EVERY_QUEUE) == 0.0
    assert queue.claim(queues=[JobPriority.LOW]) is not None


def test_a_job_that_is_to_wait_is_not_found_before_its_time(queue: Queue) -> None:
    queue.jobs.add(a_submission())
    queue.claim()
    queue.jobs.change(
        job_id(1),
        lambda job, now: transitions.failed(
            job, now, fence=1, error=ERROR, retryable=True, policy=POLICY
        ),
    )
    assert queue.jobs.soonest_s(EVERY_QUEUE) == 2.0
    queue.clock.advance(1.9)
    assert queue.claim() is None
    queue.clock.advance(0.2)
    assert queue.claim() is not None


def test_when_the_clock_was_set_back_nobody_waits_for_it(queue: Queue) -> None:
    for number in (1, 2, 3):
        queue.jobs.add(a_submission(number))
        queue.clock.advance(1.0)
    queue.clock.advance(-3600.0)
    assert queue.claim() is None
    assert queue.jobs.hasten(300.0)
    assert not queue.jobs.hasten(300.0)
    found = [queue.claim(f"worker {number}") for number in (1, 2, 3)]
    assert [job and job.id for job in found] == [job_id(1), job_id(2), job_id(3)]


def test_an_ordinary_wait_is_not_taken_for_a_clock_that_was_set_back(queue: Queue) -> None:
    queue.jobs.add(a_submission())
    queue.clock.advance(-299.0)
    assert not queue.jobs.hasten(300.0)
    assert queue.jobs.soonest_s(EVERY_QUEUE) == 299.0


def test_equal_work_is_done_by_one_at_a_time(queue: Queue) -> None:
    queue.jobs.add(a_submission(1, work_key="the same"))
    queue.jobs.add(a_submission(2, work_key="the same"))
    queue.jobs.add(a_submission(3, work_key="something else"))
    first, other = queue.claim(), queue.claim()
    assert first is not None
    assert other is not None
    assert {first.id, other.id} == {job_id(1), job_id(3)}
    assert queue.claim() is None
    assert complete(queue, 1, 1)
    second = queue.claim()
    assert second is not None
    assert second.id == job_id(2)


def test_whether_somebody_waits_can_be_asked_without_a_claim(queue: Queue) -> None:
    urgent = Look(queues=(JobPriority.HIGH,), waited_s=1.0)
    queue.jobs.add(a_submission(1, priority=JobPriority.HIGH, work_key="the same"))
    assert not queue.jobs.waits(urgent)
    queue.clock.advance(1.0)
    assert queue.jobs.waits(urgent)
    assert not queue.jobs.waits(Look(queues=(JobPriority.LOW, JobPriority.MEDIUM)))
    queue.jobs.add(a_submission(2, work_key="the same"))
    assert queue.claim(only=job_id(2)) is not None
    assert not queue.jobs.waits(urgent), "the same is being done"


def test_a_suspect_is_passed_over_by_those_who_have_neighbours(queue: Queue) -> None:
    queue.jobs.add(a_submission(1))
    for _ in range(2):
        assert queue.claim() is not None
        queue.clock.advance(31.0)
        assert queue.sweep() == [job_id(1)]
    assert queue.claim(suspects=False) is None
    assert queue.claim() is not None


def test_one_job_alone_can_be_asked_for(queue: Queue) -> None:
    for number in (1, 2):
        queue.jobs.add(a_submission(number))
    mine = queue.claim(only=job_id(2))
    assert mine is not None
    assert mine.id == job_id(2)
    assert queue.claim(only=job_id(2)) is None
    assert queue.claim(only=job_id(9)) is None


def test_many_who_claim_at_once_get_each_job_once(queue: Queue) -> None:
    for number in range(1, 41):
        queue.jobs.add(a_submission(number))
    start = threading.Barrier(4)

    def work(name: str) -> list[object]:
        start.wait(10)
        taken = []
        while (job := queue.claim(name)) is not None:
            taken.append(job.id)
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [one for part in pool.map(work, "abcd") for one in part]
    assert sorted(map(str, taken)) == sorted(str(job_id(number)) for number in range(1, 41))


def test_a_decision_that_is_refused_changes_nothing_and_writes_nothing_besides(
    queue: Queue,
) -> None:
    queue.jobs.add(a_submission())
    queue.claim()
    before, written = queue.jobs.get(job_id(1)), []
    assert not complete(queue, 1, fence=7, alongside=lambda: written.append("transcript"))
    assert (queue.jobs.get(job_id(1)), written) == (before, [])
    assert complete(queue, 1, fence=1, alongside=lambda: written.append("transcript"))
    assert written == ["transcript"]


def test_when_what_is_written_besides_fails_the_job_is_as_it_was(queue: Queue) -> None:
    queue.jobs.add(a_submission())
    queue.claim()
    before = queue.jobs.get(job_id(1))

    def full() -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        complete(queue, 1, fence=1, alongside=full)
    assert queue.jobs.get(job_id(1)) == before
    assert queue.kinds(job_id(1)) == ["JobQueued", "JobStarted"]


def test_a_job_that_is_not_there_is_named(queue: Queue) -> None:
    with pytest.raises(UnknownJob, match=str(job_id(5))):
        queue.jobs.change(job_id(5), transitions.cancelled)


def test_leases_end_unless_they_are_renewed(queue: Queue) -> None:
    for number in (1, 2):
        queue.jobs.add(a_submission(number))
        queue.claim()
    queue.clock.advance(20.0)
    queue.jobs.renew([(job_id(1), 1), (job_id(2), 9)], TERMS.lease)
    queue.clock.advance(20.0)
    assert queue.jobs.expired(10) == (job_id(2),)
    assert queue.sweep() == [job_id(2)]
    assert queue.sweep() == []
    queue.clock.advance(20.0)
    assert queue.sweep() == [job_id(1)]


def test_another_start_of_the_machine_ends_every_lease(queue: Queue) -> None:
    for number, boot in ((1, "a"), (2, "z")):
        queue.clock.boot = boot
        queue.jobs.add(a_submission(number))
        queue.claim()
    queue.clock.boot = "m"
    assert sorted(queue.jobs.expired(10), key=str) == [job_id(1), job_id(2)]


def test_what_a_worker_holds_is_known(queue: Queue) -> None:
    for number in (1, 2, 3):
        queue.jobs.add(a_submission(number))
    queue.claim("a")
    queue.claim("b")
    assert [job.id for job in queue.jobs.held_by("a")] == [job_id(1)]
    complete(queue, 1, 1)
    assert queue.jobs.held_by("a") == ()


def test_a_request_that_is_made_again_leads_to_the_same_job(queue: Queue) -> None:
    first = queue.jobs.add(a_submission(1, key="order 7", digest="this"))
    again = queue.jobs.add(a_submission(2, key="order 7", digest="this"))
    assert again.job.id == first.job.id
    assert (len(first.events), len(again.events)) == (1, 0)
    assert queue.jobs.get(job_id(2)) is None
    with pytest.raises(KeyReused, match="order 7"):
        queue.jobs.add(a_submission(3, key="order 7", digest="that"))


def test_a_key_is_kept_for_a_day(queue: Queue) -> None:
    queue.jobs.add(a_submission(1, key="k", digest="this"))
    queue.clock.advance(24 * 3600.0 - 1)
    assert queue.jobs.add(a_submission(2, key="k", digest="this")).job.id == job_id(1)
    queue.clock.advance(2.0)
    assert queue.jobs.add(a_submission(3, key="k", digest="that")).job.id == job_id(3)


def test_fifty_at_once_with_one_key_get_one_job(queue: Queue) -> None:
    start = threading.Barrier(10)

    def submit(number: int) -> object:
        start.wait(10)
        return queue.jobs.add(a_submission(number, key="k", digest="this")).job.id

    with ThreadPoolExecutor(10) as pool:
        ids = set(pool.map(submit, range(1, 51)))
    assert len(ids) == 1
    assert len(queue.jobs.page(Wanted(limit=100))) == 1


def test_jobs_are_listed_newest_first_by_page_and_by_state(queue: Queue) -> None:
    for number in range(1, 8):
        queue.jobs.add(a_submission(number))
        queue.clock.advance(number % 2)
        if number % 2:
            queue.jobs.change(job_id(number), transitions.cancelled)
    first = queue.jobs.page(Wanted(limit=3))
    rest = queue.jobs.page(Wanted(limit=10, after=first[-1]))
    assert [job.id.value.int for job in (*first, *rest)] == [7, 6, 5, 4, 3, 2, 1]
    gone = queue.jobs.page(Wanted(limit=2, status=JobStatus.CANCELLED))
    assert [job.id.value.int for job in gone] == [7, 5]
    after = queue.jobs.page(Wanted(status=JobStatus.CANCELLED, after=gone[-1]))
    assert [job.id.value.int for job in after] == [3, 1]


def test_what_happened_is_read_on_from_where_one_was(queue: Queue) -> None:
    queue.jobs.add(a_submission())
    (queued,) = queue.log.since(str(job_id(1)), after=0, limit=10)
    assert isinstance(queued.event, JobQueued)
    queue.claim()
    complete(queue, 1, 1)
    (started,) = queue.log.since(str(job_id(1)), after=queued.number, limit=1)
    assert isinstance(started.event, JobStarted)
    rest = queue.log.since(str(job_id(1)), after=started.number, limit=10)
    assert [type(logged.event).__name__ for logged in rest] == ["JobCompleted"]
    assert queue.log.since(str(job_id(1)), after=rest[-1].number, limit=10) == type(rest)()


def test_a_job_is_deleted_with_its_transcript(queue: Queue) -> None:
    for number in (1, 2):
        queue.jobs.add(a_submission(number))
    queue.claim()
    complete(queue, 1, 1)
    assert queue.jobs.delete_of(TRANSCRIPT) == 1
    assert queue.jobs.get(job_id(1)) is None
    assert not queue.jobs.delete(job_id(2)), "it is not over"
    queue.jobs.change(job_id(2), transitions.cancelled)
    assert queue.jobs.delete(job_id(2))
    assert not queue.jobs.delete(job_id(2))


def test_a_file_is_needed_as_long_as_a_job_of_its_owner_is_not_over(queue: Queue) -> None:
    held, free = FileHash(sha256_of("held")), FileHash(sha256_of("free"))
    work = FileWork(
        path=f"/recordings/anna/{held}/зал.mp3", options=TranscriptionOptions(scope="anna")
    )
    queue.jobs.add(a_submission(1, work=work))
    assert queue.jobs.need(held, owner="anna")
    assert not queue.jobs.need(held, owner="boris")
    assert not queue.jobs.need(free, owner="anna")
    queue.claim()
    assert queue.jobs.need(held, owner="anna")
    complete(queue, 1, 1)
    assert not queue.jobs.need(held, owner="anna")


def a_node(name: str, at: float = 1.0) -> WorkerNode:
    return WorkerNode(
        id=name,
        host="зал",
        pid=7,
        concurrency=2,
        queues=(JobPriority.HIGH,),
        started_at=Timestamp(at),
    )


def test_workers_are_known_until_they_leave_or_give_no_sign_of_life(queue: Queue) -> None:
    queue.workers.beat(a_node("b", 2.0), TERMS.lease)
    queue.workers.beat(a_node("a", 1.0), TERMS.lease)
    assert [node.id for node in queue.workers.alive()] == ["a", "b"]
    queue.clock.advance(20.0)
    draining = replace(a_node("a"), state=WorkerState.DRAINING, running=1)
    queue.workers.beat(draining, TERMS.lease)
    queue.clock.advance(20.0)
    assert queue.workers.alive() == (draining,)
    queue.workers.leave("a")
    assert queue.workers.alive() == ()


def test_what_happened_to_all_jobs_is_read_on_from_where_one_was(queue: Queue) -> None:
    assert queue.log.newest() == 0
    for number in (1, 2):
        queue.jobs.add(a_submission(number))
    first = queue.log.all_since(after=0, limit=1)
    queue.jobs.change(job_id(1), transitions.cancelled)
    rest = queue.log.all_since(after=first[-1].number, limit=10)
    told = [(type(e.event).__name__, e.event.job_id.value.int) for e in (*first, *rest) if e.event]
    assert told == [("JobQueued", 1), ("JobQueued", 2), ("JobCancelled", 1)]
    assert queue.log.newest() == rest[-1].number
    assert not queue.log.all_since(after=rest[-1].number, limit=10)
