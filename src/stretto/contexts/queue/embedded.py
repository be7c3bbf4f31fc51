"""The queue inside one process that submits and works: for the library, without another program."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import ProcessingJob
from stretto.contexts.queue.dispatcher import OwnJobs
from stretto.contexts.queue.model import FileWork, Job, JobPriority, JobProgress
from stretto.contexts.queue.service import QueueService, error_of
from stretto.contexts.queue.worker import Worker

logger = logging.getLogger(__name__)


class EmbeddedQueue:
    """Runs the files that this process submits one after the other, in the background.

    They are jobs like all others: when the process dies, another worker finds them. When it is
    closed in peace, it takes what it has not done back. ``call_back`` is called once, before the
    first job that somebody wants to hear the end of: from then on there is to be who calls.
    """

    def __init__(
        self,
        service: QueueService,
        *,
        worker: Callable[[OwnJobs], Worker],
        call_back: Callable[[], None] = lambda: None,
    ) -> None:
        self.service = service
        self._call_back = call_back
        self._calls_back = False
        self._own = OwnJobs()
        self._make_worker = worker
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._left: dict[JobId, Job] = {}

    def submit(
        self,
        work: FileWork,
        *,
        priority: JobPriority = JobPriority.MEDIUM,
        key: str = "",
        callback: str = "",
    ) -> JobId:
        """The job is on the disk when this returns. Raises what QueueService.submit raises."""
        new_id = JobId.new()
        job = self.service.submit(
            work, priority=priority, key=key, callback=callback, new_id=new_id
        )
        if callback:
            self._start_calling()
        self._own.add(job.id, made_here=job.id == new_id)
        self._start()
        self.service.dispatcher.bell.ring()
        return job.id

    def job(self, job_id: JobId) -> ProcessingJob:
        """Also one of another process. Raises UnknownJob."""
        job = self._left.get(job_id) or self.service.get(job_id)
        return job.tracking(error_of(job))

    def progress(self, job_id: JobId) -> JobProgress:
        """Up to this moment if it runs here, up to the last second elsewhere. Raises UnknownJob."""
        here = self._worker.progress(job_id) if self._worker else None
        return here or self.service.get(job_id).progress

    def cancel(self, job_id: JobId) -> None:
        """Raises UnknownJob."""
        self.service.cancel(job_id)
        if self._worker is not None:
            self._worker.stop(job_id)

    def completed(self, job_id: JobId, *, timeout_s: float | None = None) -> Job:
        """The job once it is completed. Raises why it is not, TimeoutError, and UnknownJob."""
        job = self._left.get(job_id) or self.service.wait(job_id, timeout_s=timeout_s)
        while self._worker is not None and self._worker.progress(job_id) is not None:
            time.sleep(0.001)  # whoever listens hears of the end before the caller goes on
        error = error_of(job)
        if error is not None:
            raise error
        return job

    def close(self) -> None:
        """Cancel what this process submitted and is not over, and wait until it has stopped. A job
        that its key led to, and that another process made, goes back.

        What became of it is still answered when the database is closed.
        """
        with self._lock:
            worker, thread = self._worker, self._thread
        if worker is None or thread is None:
            return
        worker.leave()
        known = self._own.known()
        mine = [job_id for job_id in known if self._own.is_made_here(job_id)]
        try:
            for job_id in mine:
                self.cancel(job_id)
            if mine != known:
                worker.abandon()
            thread.join()
            self._left = {job_id: self.service.get(job_id) for job_id in mine}
        except StrettoError as error:  # they are found when their leases are over
            logger.warning("The jobs of this process were not cancelled: %s", error)
            worker.abandon()
            thread.join()

    def _start_calling(self) -> None:
        with self._lock:
            if not self._calls_back:
                self._calls_back = True
                self._call_back()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._worker = self._make_worker(self._own)
                self._thread = threading.Thread(target=self._worker.run, name="worker", daemon=True)
                self._thread.start()
