"""The in-memory twin of the job store."""

from __future__ import annotations

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus, ProcessingJob

FINAL = {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}


class MemoryJobStore:
    """Keeps jobs for as long as it lives; fails with ``trouble`` as long as there is one."""

    def __init__(self) -> None:
        self.trouble: StrettoError | None = None
        self.history: list[tuple[ProcessingJob, tuple[DomainEvent, ...]]] = []
        self._kept: dict[JobId, ProcessingJob] = {}

    def keep(self, job: ProcessingJob, *events: DomainEvent) -> None:
        if self.trouble:
            raise self.trouble
        known = self._kept.get(job.id)
        if known is None or known.status not in FINAL:
            self._kept[job.id] = job
            self.history.append((job, events))

    def get(self, job_id: JobId) -> ProcessingJob | None:
        return self._kept.get(job_id)

    def page(
        self, *, limit: int, status: JobStatus | None = None, after: ProcessingJob | None = None
    ) -> tuple[ProcessingJob, ...]:
        def place(job: ProcessingJob) -> tuple[float, str]:
            return job.created_at.unix_s, str(job.id)

        rows = sorted(self._kept.values(), key=place, reverse=True)
        rows = [job for job in rows if status in (None, job.status)]
        rows = [job for job in rows if after is None or place(job) < place(after)]
        return tuple(rows[:limit])
