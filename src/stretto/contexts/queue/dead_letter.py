"""The dead-letter queue: jobs that were given up, to be looked at, tried again, or thrown away."""

from __future__ import annotations

from dataclasses import dataclass

from stretto.contexts.core.errors import JobNotInState, UnknownJob
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.dispatcher import JobDispatcher
from stretto.contexts.queue.model import Job, Wanted
from stretto.contexts.queue.ports import JobList
from stretto.contexts.queue.transitions import requeued

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterHandler:
    """A failed job is a dead letter: the same row, with the reason, the trace, and how far it
    came. What was finished of it is kept by its content, so that another try does only the rest."""

    dispatcher: JobDispatcher
    listed: JobList

    def page(self, *, limit: int, after: Job | None = None) -> tuple[Job, ...]:
        return self.listed.page(Wanted(limit=limit, status=JobStatus.FAILED, after=after))

    def requeue(self, job_id: JobId) -> Job:
        """Raises UnknownJob, and JobNotInState unless it failed or was cancelled."""
        job = self.dispatcher.change(job_id, requeued)
        assert job is not None
        return job

    def purge(self, job_id: JobId) -> None:
        """Forget it. Raises UnknownJob, and JobNotInState unless it failed."""
        job = self.listed.get(job_id)
        if job is None:
            raise UnknownJob(f"There is no job {job_id}.")
        if job.status is not JobStatus.FAILED:
            raise JobNotInState(f"The job {job_id} is {job.status}; only a failed one is purged.")
        if not self.dispatcher.jobs.delete(job_id):
            raise JobNotInState(f"The job {job_id} was taken up again just now; it is not purged.")

    def all(self) -> list[Job]:
        """Every dead letter there is now, the newest first. A part is not among them when its job
        is: that one begins anew with all its parts."""
        found: list[Job] = []
        while page := self.page(limit=PAGE, after=found[-1] if found else None):
            found += page
        dead = {job.id for job in found}
        return [job for job in found if job.parent not in dead]
