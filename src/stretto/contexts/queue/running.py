"""One job in the hands of a worker: from the claim to the word about what became of it."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Final

from stretto.contexts.core.errors import (
    Cancelled,
    ClaimLost,
    StrettoError,
    TransientEngineFailure,
    Unavailable,
    UnknownJob,
)
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.text import storable
from stretto.contexts.queue import family, transitions
from stretto.contexts.queue.dispatcher import Decide, JobDispatcher
from stretto.contexts.queue.model import LONGEST_TRACE, Divided, Job, JobError, JobProgress
from stretto.contexts.queue.ports import Workshop
from stretto.contexts.queue.retry import RetryHandler

WORTH_TELLING: Final = 0.01
PAUSE_S: Final = 0.5

logger = logging.getLogger(__name__)


class Stop(StrEnum):
    """Why a job is stopped before it is done."""

    CANCELLED = "cancelled"
    LEAVING = "leaving"
    LOST = "lost"


class RunningJob:
    """Everything it writes carries the fence of its claim; when that is an old one, nothing of it
    counts."""

    def __init__(
        self, job: Job, *, dispatcher: JobDispatcher, workshop: Workshop, retries: RetryHandler
    ) -> None:
        self.job = job
        self.why: Stop | None = None
        self._dispatcher = dispatcher
        self._retries = retries
        self._progress = self._told = job.progress
        self._task = workshop.begin(
            job,
            progressed=self._progressed,
            complete=self._complete,
            last=retries.is_last(job),
        )

    @property
    def progress(self) -> JobProgress:
        return self._progress

    def run(self) -> None:
        """Until it is known what became of the job. Never raises."""
        try:
            into = self._task.run()
            if into is not None:
                self._divide(into)
        except BaseException as error:
            self._end(error)

    def stop(self, why: Stop) -> None:
        """The first reason counts."""
        self.why = self.why or why
        self._task.stop()

    def tell(self) -> None:
        """Write down how far it is, if that is news. Raises Unavailable."""
        progress = self._progress
        news = progress.fraction - self._told.fraction >= WORTH_TELLING
        if news or progress.chunks_done > self._told.chunks_done:
            decide = partial(transitions.progressed, fence=self.job.fence, progress=progress)
            self._dispatcher.change(self.job.id, decide)
            self._told = progress

    def hand_back(self) -> None:
        """For another worker, at once and without an attempt."""
        self._dispatcher.change(self.job.id, partial(transitions.handed_back, fence=self.job.fence))

    def _progressed(self, progress: JobProgress) -> None:
        self._progress = progress

    def _divide(self, into: Divided) -> None:
        decide = partial(family.divided, fence=self.job.fence, into=into)
        if self._dispatcher.change(self.job.id, decide) is None:
            raise ClaimLost

    def _complete(self, transcript_id: TranscriptId | None, keep: Callable[[], None]) -> None:
        done = partial(
            transitions.completed,
            fence=self.job.fence,
            transcript_id=transcript_id,
            progress=replace(self._progress, fraction=1.0),
        )
        if self._dispatcher.change(self.job.id, done, alongside=keep) is None:
            raise ClaimLost

    def _end(self, error: BaseException) -> None:
        decide = self._verdict(error)
        if decide is None:
            logger.warning("The job %s belongs to another worker now.", self.job.id)
            return
        until = time.monotonic() + self._dispatcher.terms.lease_s
        while not self._is_written(decide) and time.monotonic() < until:
            time.sleep(PAUSE_S)

    def _is_written(self, decide: Decide) -> bool:
        """Or it will never be."""
        try:
            self._dispatcher.change(self.job.id, decide)
        except Unavailable as trouble:
            logger.warning("The end of the job %s waits: %s", self.job.id, trouble)
            return False
        except UnknownJob:
            logger.warning("The job %s was deleted while it was worked on.", self.job.id)
        return True

    def _verdict(self, error: BaseException) -> Decide | None:
        """What is to become of the job; None when that is not ours to say."""
        fence = self.job.fence
        if isinstance(error, ClaimLost) or self.why is Stop.LOST:
            return None
        if isinstance(error, Cancelled):
            leaving = self.why is Stop.LEAVING
            return partial(transitions.handed_back if leaving else transitions.stopped, fence=fence)
        ours = isinstance(error, StrettoError)
        if not ours:
            logger.error("The job %s met a bug.", self.job.id, exc_info=error)
        return partial(
            self._retries.after_error,
            fence=fence,
            error=described(error),
            retryable=isinstance(error, StrettoError) and error.retryable,
            outage=isinstance(error, TransientEngineFailure),
        )


def described(error: BaseException) -> JobError:
    """As it is kept: text that every database takes, and the end of the trace."""
    message = error.message if isinstance(error, StrettoError) else repr(error)
    trace = "".join(traceback.format_exception(error))[-LONGEST_TRACE:]
    return JobError(kind=type(error).__name__, message=storable(message), trace=storable(trace))
