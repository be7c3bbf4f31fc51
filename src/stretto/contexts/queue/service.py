"""The queue for those who have something transcribed: submit, look, follow, cancel, try again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stretto.contexts.core import errors
from stretto.contexts.core.canonical import canonical_bytes
from stretto.contexts.core.errors import Cancelled, StrettoError, UnknownJob
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.text import storable
from stretto.contexts.queue.dead_letter import DeadLetterHandler
from stretto.contexts.queue.dispatcher import JobDispatcher
from stretto.contexts.queue.model import (
    FileWork,
    Job,
    JobPriority,
    Submission,
    Wanted,
    WorkerNode,
)
from stretto.contexts.queue.ports import EventLog, JobList, Workers
from stretto.contexts.queue.transitions import cancelled

SHORTEST_PAUSE_S: Final = 0.01
LONGEST_PAUSE_S: Final = 0.25
PAGE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An event of a job, and the number from which to read on."""

    number: int
    event: DomainEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueService:
    """``identity`` tells files apart without reading them: another answer means another file.
    ``check_callback`` raises when a URL is not one that would be called."""

    dispatcher: JobDispatcher
    listed: JobList
    log: EventLog
    workers: Workers
    dead_letters: DeadLetterHandler
    clock: Callable[[], Timestamp]
    identity: Callable[[str], tuple[str, ...]]
    check_callback: Callable[[str], None] = lambda _: None
    close: Callable[[], None] = lambda: None

    def submit(
        self,
        work: FileWork,
        *,
        priority: JobPriority = JobPriority.MEDIUM,
        key: str = "",
        callback: str = "",
        new_id: JobId | None = None,
    ) -> Job:
        """The job is on the disk when this returns. With the same ``key`` it is the same job, for a
        day; one with ``new_id`` was made by this very call. ``callback`` is a URL that is called
        when it is over. Raises KeyReused, InvalidOption, AddressRefused, StorageFull and
        StorageUnavailable."""
        if callback:
            self.check_callback(callback)
        now = self.clock()
        job = Job(
            id=new_id or JobId.new(),
            file=storable(Path(work.path).name),
            work=work,
            work_key=digest((self.identity(work.path), work)),
            priority=priority,
            created_at=now,
            updated_at=now,
            run_at=now,
            callback=callback,
        )
        request = (work, int(priority), *([callback] if callback else []))
        request_digest = digest(request) if key else ""  # nobody compares it without a key
        return self.dispatcher.accept(Submission(job=job, key=key, digest=request_digest))

    def get(self, job_id: JobId) -> Job:
        """Raises UnknownJob."""
        job = self.listed.get(job_id)
        if job is None:
            raise UnknownJob(f"There is no job {job_id}. See which there are: stretto jobs list")
        return job

    def page(self, wanted: Wanted) -> tuple[Job, ...]:
        return self.listed.page(wanted)

    def cancel(self, job_id: JobId) -> Job:
        """A queued job never starts, a running one stops within two seconds wherever it runs, one
        that is over stays as it is. Raises UnknownJob."""
        return self.dispatcher.change(job_id, cancelled) or self.get(job_id)

    def retry(self, job_id: JobId) -> Job:
        """Raises UnknownJob, and JobNotInState unless it failed or was cancelled."""
        return self.dead_letters.requeue(job_id)

    def nodes(self) -> tuple[WorkerNode, ...]:
        """The workers that are alive."""
        return self.workers.alive()

    def heard(self, job_id: JobId, *, after: int = 0) -> tuple[Heard, ...]:
        """What happened to a job since the event ``after``; 0 is the beginning. What was done with
        a week ago is forgotten."""
        found = self.log.since(str(job_id), after=after, limit=PAGE)
        return tuple(Heard(number=one.number, event=one.event) for one in found if one.event)

    def overheard(self, *, after: int) -> tuple[int, tuple[Heard, ...]]:
        """What happened to all jobs since the event ``after``, and the number from which to read
        on: the same one when there is nothing."""
        found = self.log.all_since(after=after, limit=PAGE)
        jobs = [one for one in found if hasattr(one.event, "job_id")]
        heard = tuple(Heard(number=one.number, event=one.event) for one in jobs if one.event)
        return found[-1].number if found else after, heard

    def newest(self) -> int:
        """The number of the newest event."""
        return self.log.newest()

    def follow(self, job_id: JobId, *, after: int = 0) -> Iterator[Heard]:
        """The same, waiting for more until the job is over. Raises UnknownJob."""
        pause_s = SHORTEST_PAUSE_S
        while True:
            over = self.get(job_id).is_over  # asked first: nothing is written after that
            heard = self.heard(job_id, after=after)
            yield from heard
            if heard:
                after, pause_s = heard[-1].number, SHORTEST_PAUSE_S
            elif over:
                return
            else:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def wait(self, job_id: JobId, *, timeout_s: float | None = None) -> Job:
        """The job when it is over. Raises TimeoutError and UnknownJob."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = SHORTEST_PAUSE_S
        while not (job := self.get(job_id)).is_over:
            rest_s = LONGEST_PAUSE_S if until is None else until - time.monotonic()
            if rest_s <= 0:
                raise TimeoutError(f"The job {job_id} is not over after {timeout_s:g} s.")
            time.sleep(min(pause_s, rest_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return job


def error_of(job: Job) -> StrettoError | None:
    """Why there is no transcript, as the error that it was where its class still exists."""
    if job.status is JobStatus.CANCELLED:
        return Cancelled()
    error = job.result.error if job.result else None
    if error is None:
        return None
    found = getattr(errors, error.kind, StrettoError)
    known = isinstance(found, type) and issubclass(found, StrettoError)
    return found(error.message) if known else StrettoError(error.message)


def digest(value: object) -> str:
    return hashlib.sha256(canonical_bytes(value)).hexdigest()
