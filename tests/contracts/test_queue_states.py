"""Anything may happen to a queue in any order: no job is lost, nobody holds one twice, fences only
rise, and what is over stays over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from stretto.contexts.core.errors import JobNotInState
from stretto.contexts.core.identifiers import JobId, TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue import family, transitions
from stretto.contexts.queue.model import FINAL, Job, JobError, JobPriority, JobProgress
from tests.queues import POLICY, TERMS, Queue, memory_queue, queue_on
from tests.servers import Database
from tests.unit.queue.jobs import a_submission, in_parts

EXAMPLES = {"memory": 100, "sqlite": 40, "postgresql": 25}
STEPS = 40
ERROR = JobError(kind="StorageFull", message="The disk is full.")
REOPENED = {JobStatus.FAILED, JobStatus.CANCELLED}


class Machine(RuleBasedStateMachine):
    """``claims`` are what workers believe to hold, old ones too: a zombie never knows."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")
    queue: Queue
    numbers = iter(range(1, 10**9))

    def __init__(self) -> None:
        super().__init__()
        self.mine: set[JobId] = set()
        self.before: dict[JobId, Job] = {}
        self.reopened: set[JobId] = set()
        self.rightful: dict[JobId, int] = {}

    @rule(target=jobs, priority=st.sampled_from(JobPriority), same=st.booleans())
    def submit(self, priority: JobPriority, same: bool) -> JobId:
        number = next(Machine.numbers)
        key = f"shared {id(self)}" if same else f"own {number}"
        change = self.queue.jobs.add(a_submission(number, priority=priority, work_key=key))
        self.mine.add(change.job.id)
        return change.job.id

    @rule(
        target=claims,
        holder=st.sampled_from("ab"),
        turn=st.integers(0, 3),
        suspects=st.booleans(),
    )
    def claim(self, holder: str, turn: int, suspects: bool) -> tuple[JobId, int] | None:
        job = self.queue.claim(holder, turn=turn, suspects=suspects)
        if job is None:
            return None
        assert self.before[job.id].status is JobStatus.QUEUED
        assert suspects or not job.is_suspect
        self.rightful[job.id] = job.fence
        return job.id, job.fence

    def write(self, claim: tuple[JobId, int] | None, decide: Any) -> None:
        """Whoever holds an old claim writes nothing; who holds the newest one does."""
        before = self.queue.jobs.get(claim[0]) if claim else None
        if claim is None or before is None:
            return
        job_id, fence = claim
        done = self.queue.jobs.change(job_id, lambda job, now: decide(job, now, fence)) is not None
        held = before.status is JobStatus.PROCESSING and before.lease is not None
        assert done == (held and before.fence == fence)
        if not done:
            assert self.queue.jobs.get(job_id) == before

    @rule(claim=claims, parts=st.integers(1, 3))
    def divide(self, claim: tuple[JobId, int] | None, parts: int) -> None:
        """A job that is a part is not divided again, nor one that is to be put together."""
        job = self.before.get(claim[0]) if claim else None
        if job is None or job.parent is not None or job.division is not None:
            return
        into = in_parts(job, parts)
        self.write(claim, lambda job, now, fence: family.divided(job, now, fence=fence, into=into))
        self.mine |= {part.id for part in self.queue.jobs.parts_of(job.id)}

    @rule(claim=claims)
    def finish(self, claim: tuple[JobId, int] | None) -> None:
        self.write(
            claim,
            lambda job, now, fence: transitions.completed(
                job,
                now,
                fence=fence,
                transcript_id=None if job.parent else TranscriptId.new(),
                progress=JobProgress(),
            ),
        )

    @rule(claim=claims, retryable=st.booleans())
    def fail(self, claim: tuple[JobId, int] | None, retryable: bool) -> None:
        self.write(
            claim,
            lambda job, now, fence: transitions.failed(
                job, now, fence=fence, error=ERROR, retryable=retryable, policy=POLICY
            ),
        )

    @rule(claim=claims)
    def hand_back(self, claim: tuple[JobId, int] | None) -> None:
        self.write(claim, lambda job, now, fence: transitions.handed_back(job, now, fence=fence))

    @rule(claim=claims)
    def progress(self, claim: tuple[JobId, int] | None) -> None:
        self.write(
            claim,
            lambda job, now, fence: transitions.progressed(
                job, now, fence=fence, progress=JobProgress(fraction=0.5)
            ),
        )

    @rule(claim=claims)
    def beat(self, claim: tuple[JobId, int] | None) -> None:
        if claim is not None:
            self.queue.jobs.renew([claim], TERMS.lease)

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0, 3600.0]))
    def tick(self, seconds: float) -> None:
        self.queue.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        for job_id in self.queue.sweep():
            now = self.queue.clock.read()
            lease = self.before[job_id].lease
            assert lease is not None
            assert lease.is_over(now)

    @rule()
    def crash_of_everybody(self) -> None:
        """All workers are gone; somebody looks after the leases are over."""
        self.queue.clock.advance(31.0)
        self.queue.sweep()

    @rule()
    def restart_of_the_machine(self) -> None:
        self.queue.clock.boot += "+"

    @rule(job=jobs)
    def cancel(self, job: JobId) -> None:
        if job in self.mine:
            self.queue.jobs.change(job, transitions.cancelled)

    @rule(data=st.data())
    def cancel_a_part(self, data: st.DataObject) -> None:
        if parts := self.parts():
            self.queue.jobs.change(data.draw(st.sampled_from(parts)).id, transitions.cancelled)

    @rule(data=st.data())
    def requeue_a_part(self, data: st.DataObject) -> None:
        """Its job waits for it again, and will be put together anew."""
        if not (parts := [part for part in self.parts() if part.status in REOPENED]):
            return
        part = data.draw(st.sampled_from(parts))
        assert part.parent is not None
        parent = self.before[part.parent]
        try:
            self.queue.jobs.change(part.id, transitions.requeued)
            self.reopened |= {part.id, part.parent}
        except JobNotInState:
            assert parent.lease is not None or parent.status is JobStatus.CANCELLED

    @rule(job=jobs)
    def requeue(self, job: JobId) -> None:
        if job not in self.mine:
            return
        parts = {part.id for part in self.queue.jobs.parts_of(job)}
        try:
            self.queue.jobs.change(job, transitions.requeued)
            assert self.before[job].status in REOPENED
            self.reopened.add(job)
            self.mine -= parts
        except JobNotInState:
            assert self.before[job].status not in REOPENED

    def parts(self) -> list[Job]:
        return [job for job in self.before.values() if job.parent is not None]

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        look = self.queue.jobs.get
        found = {job.id: job for job in map(look, self.mine) if job is not None}
        assert found.keys() == self.mine
        for job in found.values():
            self.compare_with_parts(job)
        for job_id, job in found.items():
            self.compare(job, self.before.get(job_id))
        self.before = found
        self.reopened.clear()

    def compare_with_parts(self, job: Job) -> None:
        """It counts its parts right, waits as long as one is not over, and no longer."""
        parts = self.queue.jobs.parts_of(job.id)
        assert {part.id for part in parts} <= self.mine
        if job.division is None or job.status is JobStatus.CANCELLED:
            return
        assert job.division.open == sum(not part.is_over for part in parts)
        assert job.is_waiting == (job.division.open > 0)
        missing = {one.number for one in job.division.missing}
        assert missing == {
            part.work.part.number for part in parts if part.work.part and part.status in REOPENED
        }

    def compare(self, job: Job, before: Job | None) -> None:
        held = job.status is JobStatus.PROCESSING and not job.is_waiting
        assert not (job.is_waiting and job.division is None), "waits for nothing"
        assert held == bool(job.holder) == (job.lease is not None)
        assert not (held and self.rightful.get(job.id) != job.fence), "held without a claim"
        assert (job.cause is not None) == (job.status is JobStatus.FAILED)
        if before is None:
            return
        assert job.fence >= before.fence
        if before.status in FINAL and job.id not in self.reopened:
            assert job == before


@pytest.mark.parametrize("kind", EXAMPLES)
def test_whatever_happens_to_a_queue(kind: str, request: pytest.FixtureRequest) -> None:
    machine = type("Here", (Machine,), {"TestCase": None})
    if kind == "memory":
        machine.__init__ = _beginning(machine, memory_queue)
    else:
        database = request.getfixturevalue(f"{kind}_database")
        machine.__init__ = _beginning(machine, lambda: emptied(database))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES[kind],
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def emptied(database: Database) -> Queue:
    """Without the jobs of the example before."""
    with database.write() as connection:
        connection.execute("DELETE FROM queue_job")
    return queue_on(database)


def _beginning(machine: type, make: Any) -> Any:
    def __init__(self: Any) -> None:  # noqa: N807
        Machine.__init__(self)
        self.queue = make()

    return __init__
