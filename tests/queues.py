"""Queues on every kind of database, and their twin in memory, for tests of the same promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from stretto.contexts.core.identifiers import FileHash, JobId, TranscriptId
from stretto.contexts.database.adapters.outbox import OutboxWriter, SqlOutbox
from stretto.contexts.queue.adapters.jobs import SqlJobs
from stretto.contexts.queue.adapters.workers import SqlWorkers
from stretto.contexts.queue.model import EVERY_QUEUE, Change, Job, LeaseTerms, Moment
from stretto.contexts.queue.policy import RetryPolicy
from stretto.contexts.queue.ports import EventLog, Housekeeping, JobList, JobQueue, Workers
from stretto.contexts.queue.priority import PriorityManager
from stretto.contexts.queue.transitions import claimed, expired
from tests.fakes.queue import FakeDatabaseClock, MemoryQueue
from tests.servers import Database

TERMS = LeaseTerms()
POLICY = RetryPolicy(dice=lambda: 0.5)


class Jobs(JobQueue, JobList, Housekeeping, Protocol):
    """Everything that can be asked of the table of jobs."""

    def delete_of(self, transcript_id: TranscriptId) -> int: ...

    def need(self, file_hash: FileHash, *, owner: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue with its clock, which stands still."""

    jobs: Jobs
    workers: Workers
    log: EventLog
    clock: FakeDatabaseClock

    def claim(
        self, holder: str = "worker 1", *, turn: int = 0, suspects: bool = True, **given: Any
    ) -> Job | None:
        def take(job: Job, now: Moment) -> Change:
            return claimed(job, now, holder=holder, lease=TERMS.lease(now))

        looks = PriorityManager().looks(given.get("queues", EVERY_QUEUE), turn=turn)
        change = self.jobs.claim(looks, take=take, suspects=suspects, only=given.get("only"))
        return change.job if change else None

    def sweep(self) -> list[JobId]:
        """Those that were waiting for it."""
        found = self.jobs.expired(100)
        changes = [
            self.jobs.change(i, lambda j, now: expired(j, now, policy=POLICY)) for i in found
        ]
        return [change.job.id for change in changes if change]

    def kinds(self, job_id: JobId) -> list[str]:
        events = self.log.since(str(job_id), after=0, limit=1000)
        return [type(logged.event).__name__ for logged in events]


def _expired(job: Job, now: Moment) -> Change | None:
    return expired(job, now, policy=POLICY)


def memory_queue() -> Queue:
    clock = FakeDatabaseClock()
    twin = MemoryQueue(clock)
    return Queue(twin, twin, twin, clock)


def queue_on(database: Database) -> Queue:
    clock = FakeDatabaseClock()
    jobs = SqlJobs(database, outbox=OutboxWriter(), clock=clock)
    return Queue(jobs, SqlWorkers(database, clock=clock), SqlOutbox(database), clock)
