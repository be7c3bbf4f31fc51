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
from stretto.contexts.queue import transitions
from stretto.contexts.queue.model import FINAL, Job, JobError, JobPriority, JobProgress, Wanted
from tests.queues import POLICY, TERMS, Queue, memory_queue, queue_on
from tests.servers import Database
from tests.unit.queue.jobs import a_submission

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
        if claim is None or claim[0] not in self.mine:
            return
        job_id, fence = claim
        before = self.queue.jobs.get(job_id)
        done = self.queue.jobs.change(job_id, lambda job, now: decide(job, now, fence)) is not None
        assert before is not None
        assert done == (before.status is JobStatus.PROCESSING and before.fence == fence)
        if not done:
            assert self.queue.jobs.get(job_id) == before

    @rule(claim=claims)
    def finish(self, claim: tuple[JobId, int] | None) -> None:
        self.write(
            claim,
            lambda job, now, fence: transitions.completed(
                job, now, fence=fence, transcript_id=TranscriptId.new(), progress=JobProgress()
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

    @rule(job=jobs)
    def requeue(self, job: JobId) -> None:
        if job not in self.mine:
            return
        try:
            self.queue.jobs.change(job, transitions.requeued)
            assert self.before[job].status in REOPENED
            self.reopened.add(job)
        except JobNotInState:
            assert self.before[job].status not in REOPENED

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        found = {job.id: job for job in self.queue.jobs.page(Wanted(limit=1000))}
        found = {job_id: job for job_id, job in found.items() if job_id in self.mine}
        assert found.keys() == self.mine
        for job_id, job in found.items():
            self.compare(job, self.before.get(job_id))
        self.before = found
        self.reopened.clear()

    def compare(self, job: Job, before: Job | None) -> None:
        held = job.status is JobStatus.PROCESSING
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
