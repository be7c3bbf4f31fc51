"""Jobs inside one process: submit a file, look how far it is, cancel it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from stretto.contexts.core.bus import Publish
from stretto.contexts.core.errors import (
    Cancelled,
    InvalidIdentifier,
    StrettoError,
    Unavailable,
)
from stretto.contexts.core.events import (
    DomainEvent,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobQueued,
)
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.core.job import JobStatus, ProcessingJob
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.processing.model import NOT_BEGUN, CancelToken, ProcessingProgress
from stretto.contexts.processing.ports import JobStore
from stretto.contexts.processing.service import ProcessingService

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Tracked:
    job: ProcessingJob
    cancel: CancelToken
    progress: ProcessingProgress
    future: Future[Transcript] | None = None


class ProcessingJobs:
    """Runs files one after the other in the background; their chunks run side by side."""

    def __init__(
        self,
        service: ProcessingService,
        *,
        store: JobStore,
        publish: Publish,
        clock: Callable[[], Timestamp],
    ) -> None:
        self._service = service
        self._store = store
        self._publish = publish
        self._clock = clock
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="job")
        self._jobs: dict[JobId, _Tracked] = {}
        self._lock = Lock()

    def submit_job(self, path: Path, options: TranscriptionOptions) -> JobId:
        """The job is on the disk when this returns. Raises StorageFull or StorageUnavailable."""
        now = self._clock()
        job = ProcessingJob(id=JobId.new(), file=path.name, status=JobStatus.QUEUED, created_at=now)
        tracked = _Tracked(job=job, cancel=CancelToken(), progress=NOT_BEGUN)
        queued = JobQueued(at=now, job_id=job.id, file=path.name)
        self._store.keep(job, queued)
        with self._lock:
            self._jobs[job.id] = tracked
        self._publish(queued)
        tracked.future = self._pool.submit(self._run, tracked, path, options)
        return job.id

    def get_job(self, job_id: JobId) -> ProcessingJob:
        """Also one of an earlier process, as far as it came."""
        with self._lock:
            tracked = self._jobs.get(job_id)
        job = tracked.job if tracked else self._store.get(job_id)
        if job is None:
            raise InvalidIdentifier(f"There is no job {job_id}.")
        return job

    def get_progress(self, job_id: JobId) -> ProcessingProgress:
        return self._tracked(job_id).progress

    def cancel(self, job_id: JobId) -> None:
        """A queued job never starts; a running one stops soon. A finished one stays finished."""
        self._tracked(job_id).cancel.cancel()

    def result(self, job_id: JobId, *, timeout_s: float | None = None) -> Transcript:
        """Waits for the end of a job. Raises what the job raised, and TimeoutError."""
        future = self._tracked(job_id).future
        assert future is not None
        return future.result(timeout_s)

    def close(self) -> None:
        """Cancels what runs and waits until it has stopped."""
        with self._lock:
            jobs = list(self._jobs.values())
        for tracked in jobs:
            tracked.cancel.cancel()
        self._pool.shutdown(wait=True)

    def _tracked(self, job_id: JobId) -> _Tracked:
        with self._lock:
            tracked = self._jobs.get(job_id)
        if tracked is None:
            raise InvalidIdentifier(f"There is no job {job_id} in this process.")
        return tracked

    def _run(self, tracked: _Tracked, path: Path, options: TranscriptionOptions) -> Transcript:
        def progressed(progress: ProcessingProgress) -> None:
            tracked.progress = progress

        try:
            tracked.cancel.raise_if_cancelled()
            self._change(tracked, replace(tracked.job, status=JobStatus.PROCESSING))
            transcript = self._service.process_file(
                path, options, cancel=tracked.cancel, progressed=progressed
            )
        except BaseException as cause:
            self._failed(tracked, cause)
            raise
        self._change(
            tracked,
            replace(tracked.job, status=JobStatus.COMPLETED, transcript_id=transcript.id),
            JobCompleted(at=self._clock(), job_id=tracked.job.id, transcript_id=transcript.id),
        )
        return transcript

    def _failed(self, tracked: _Tracked, cause: BaseException) -> None:
        """Also for what nobody expected: a job never stays at work when nobody works on it."""
        error = cause if isinstance(cause, StrettoError) else StrettoError(repr(cause))
        now, job = self._clock(), replace(tracked.job, error=error)
        if isinstance(error, Cancelled):
            cancelled = JobCancelled(at=now, job_id=job.id)
            self._change(tracked, replace(job, status=JobStatus.CANCELLED), cancelled)
        else:
            failed = JobFailed(at=now, job_id=job.id, reason=error.message)
            self._change(tracked, replace(job, status=JobStatus.FAILED), failed)

    def _change(self, tracked: _Tracked, job: ProcessingJob, *events: DomainEvent) -> None:
        """What cannot be written down is still true in this process."""
        tracked.job = job
        try:
            self._store.keep(job, *events)
        except Unavailable as error:
            logger.warning("The job %s is %s, which was not kept: %s", job.id, job.status, error)
        for event in events:
            self._publish(event)
