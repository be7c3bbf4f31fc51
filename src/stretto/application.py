"""The use cases on one page: what somebody can do with Stretto, whatever they reach it by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from stretto.contexts.core.bus import EventBus, Publish
from stretto.contexts.core.errors import UnknownTranscript
from stretto.contexts.core.events import TranscriptDeleted
from stretto.contexts.core.identifiers import JobId, Language, TranscriptId
from stretto.contexts.core.job import ProcessingJob
from stretto.contexts.core.recognition import Task, TranscriptionOptions
from stretto.contexts.core.transcript import Segment, Transcript
from stretto.contexts.processing.library import Page, SearchHit, TranscriptSummary, Wanted
from stretto.contexts.processing.model import CancelToken, PlanReport, ProcessingProgress
from stretto.contexts.processing.service import ProcessingService

if TYPE_CHECKING:
    from stretto.contexts.caching.management import CacheManagement
    from stretto.contexts.monitoring.feeding import HttpFeed
    from stretto.contexts.monitoring.service import MonitoringService
    from stretto.contexts.queue.dispatcher import Source
    from stretto.contexts.queue.embedded import EmbeddedQueue
    from stretto.contexts.queue.model import JobPriority
    from stretto.contexts.queue.worker import Worker


class TranscriptStore(Protocol):
    """Transcripts that were kept, whole."""

    def get(self, transcript_id: TranscriptId) -> Transcript | None: ...

    def recent(self, limit: int) -> tuple[Transcript, ...]: ...


class TranscriptLibrary(Protocol):
    """Transcripts that were kept, as a list."""

    def page(self, wanted: Wanted) -> Page: ...

    def summary(self, transcript_id: TranscriptId) -> TranscriptSummary | None: ...

    def delete(self, transcript_id: TranscriptId) -> TranscriptDeleted | None: ...


class TranscriptSearch(Protocol):
    """Finds words in all of them."""

    def search(
        self, text: str, *, limit: int, owner: str | None = None
    ) -> tuple[SearchHit, ...]: ...


class Queueing(Protocol):
    """The queue for those who may not need it."""

    def made(self) -> EmbeddedQueue: ...

    def worker(
        self,
        *,
        concurrency: int,
        queues: tuple[JobPriority, ...],
        stuck: Callable[[], None],
        source: Source | None,
    ) -> Worker: ...

    def close(self) -> None: ...


class Monitored(Protocol):
    """A process that is watched: what can be seen of all of them, and who counts answers."""

    @property
    def service(self) -> MonitoringService: ...

    @property
    def http(self) -> HttpFeed: ...


class Watching(Protocol):
    """Monitoring for those who may not need it."""

    def start(self, role: str) -> Monitored | None:
        """The process stays, as a ``worker`` or to ``serve``. None when nothing is measured.
        Raises InvalidOption for alert rules that are wrong."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What was kept: to be listed, read, searched and deleted. Raises Unavailable for trouble with
    the database; ``deliver`` hands over the events that were written with the changes, ``wake`` has
    that done in the background if there are any, until ``deliver_last``."""

    transcripts: TranscriptStore
    library: TranscriptLibrary
    words: TranscriptSearch
    publish: Publish
    deliver: Callable[[], int]
    wake: Callable[[], None]
    deliver_last: Callable[[], None]
    shut_down: Callable[[], None]

    def page(self, wanted: Wanted) -> Page:
        """The newest transcripts first; the page's ``next`` is the ``after`` of the following."""
        return self.library.page(wanted)

    def get(self, transcript_id: TranscriptId) -> Transcript:
        """Raises UnknownTranscript."""
        found = self.transcripts.get(transcript_id)
        if found is None:
            raise _unknown(transcript_id)
        return found

    def summary(self, transcript_id: TranscriptId) -> TranscriptSummary:
        """Raises UnknownTranscript."""
        found = self.library.summary(transcript_id)
        if found is None:
            raise _unknown(transcript_id)
        return found

    def search(
        self, text: str, *, limit: int = 20, owner: str | None = None
    ) -> tuple[SearchHit, ...]:
        """Segments with all the words of ``text``, the best first; a phrase stands in quotation
        marks, a beginning ends in ``*``. Raises InvalidOption for a text without a word."""
        return self.words.search(text, limit=limit, owner=owner)

    def delete(self, transcript_id: TranscriptId) -> None:
        """The transcript and everything that came of it, in every table.

        Raises UnknownTranscript.
        """
        event = self.library.delete(transcript_id)
        if event is None:
            raise _unknown(transcript_id)
        self.publish(event)
        self.deliver()

    def close(self) -> None:
        self.shut_down()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _unknown(transcript_id: TranscriptId) -> UnknownTranscript:
    return UnknownTranscript(
        f"There is no transcript {transcript_id}. See which there are: stretto transcripts list"
    )


def options_from(
    *, language: str | Language | None = None, prompt: str = "", task: Task = Task.TRANSCRIBE
) -> TranscriptionOptions:
    """Raises InvalidLanguage and InvalidOption."""
    spoken = Language.parse(language) if isinstance(language, str) and language else language
    return TranscriptionOptions(language=spoken or None, prompt=prompt, task=task)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Made by ``bootstrap.build``; close it, or use it in a ``with`` block.

    ``database`` says where results are kept, as it may be shown; ``language`` is the settings' word
    for recordings whose language nobody gives (empty: find out), ``engine`` and ``model`` are those
    for jobs.
    """

    processing: ProcessingService
    queueing: Queueing
    archive: Archive
    management: Callable[[], CacheManagement]
    events: EventBus
    database: str
    language: str
    release: Callable[[], None]
    engine: str
    model: str
    monitoring: Watching

    @property
    def cache(self) -> CacheManagement:
        """What is cached: to be looked into, warmed and deleted."""
        return self.management()

    @property
    def transcripts(self) -> TranscriptStore:
        return self.archive.transcripts

    def transcribe(
        self,
        path: str | Path,
        *,
        language: str | Language | None = None,
        prompt: str = "",
        stream: int | None = None,
        again: bool = False,
        cancel: CancelToken | None = None,
        progressed: Callable[[ProcessingProgress], None] | None = None,
        heard: Callable[[tuple[Segment, ...]], None] | None = None,
    ) -> Transcript:
        """The transcript of a file: recalled if it is known, else made and kept.

        ``stream`` counts audio streams from 0; ``again`` transcribes even what is known; ``heard``
        is given the segments in their order, while those that follow are still recognised (one
        call at a time, on another thread). Raises StrettoError, and what ``heard`` raises.
        """
        return self.processing.process_file(
            Path(path),
            self._options(language, prompt),
            stream=stream,
            again=again,
            cancel=cancel,
            progressed=progressed,
            heard=heard,
        )

    def plan(
        self,
        path: str | Path,
        *,
        language: str | Language | None = None,
        prompt: str = "",
        stream: int | None = None,
    ) -> PlanReport:
        """How a file would be cut, why, what of it is known, and how long the rest would take."""
        options = self._options(language, prompt)
        return self.processing.plan_file(Path(path), options, stream=stream)

    def submit(
        self,
        path: str | Path,
        *,
        language: str | Language | None = None,
        prompt: str = "",
        priority: str = "medium",
        key: str = "",
        callback: str = "",
    ) -> JobId:
        """Transcribe in the background; ask ``job``, ``progress`` and ``result`` about it.

        The job is on the disk when this returns; if this process dies, another worker goes on.
        ``priority`` is high, medium or low. Submitting again with the same ``key`` within a day
        answers the same job. ``callback`` is a URL that is called, signed, when the job is over.
        Raises InvalidOption, AddressRefused, KeyReused, StorageFull and StorageUnavailable.
        """
        from stretto.contexts.queue.model import FileWork, JobPriority

        work = FileWork(
            path=str(Path(path).absolute()),
            options=self._options(language, prompt),
            engine=self.engine,
            model=self.model,
        )
        queue = self.queueing.made()
        return queue.submit(work, priority=JobPriority.parse(priority), key=key, callback=callback)

    def job(self, job_id: JobId) -> ProcessingJob:
        """Also one of another process. Raises UnknownJob."""
        return self.queueing.made().job(job_id)

    def progress(self, job_id: JobId) -> ProcessingProgress:
        """Raises UnknownJob."""
        found = self.queueing.made().progress(job_id)
        return ProcessingProgress(
            fraction=found.fraction,
            done_s=found.done_s,
            total_s=found.total_s,
            chunks_done=found.chunks_done,
            chunks_known=found.chunks_known,
        )

    def result(self, job_id: JobId, *, timeout_s: float | None = None) -> Transcript:
        """Waits for the end of a job. Raises why there is no transcript, and TimeoutError."""
        job = self.queueing.made().completed(job_id, timeout_s=timeout_s)
        assert job.transcript_id is not None
        return self.archive.get(job.transcript_id)

    def cancel(self, job_id: JobId) -> None:
        """A queued job never starts, a running one stops soon, one that is over stays as it is.

        Raises UnknownJob.
        """
        self.queueing.made().cancel(job_id)

    def worker(
        self,
        *,
        concurrency: int,
        queues: tuple[JobPriority, ...],
        stuck: Callable[[], None] = lambda: None,
        source: Source | None = None,
    ) -> Worker:
        """Hands for the jobs of everybody, or those of ``source``; ``run`` it."""
        return self.queueing.worker(
            concurrency=concurrency, queues=queues, stuck=stuck, source=source
        )

    def _options(self, language: str | Language | None, prompt: str) -> TranscriptionOptions:
        return options_from(language=language or self.language, prompt=prompt)

    def close(self) -> None:
        self.queueing.close()
        self.monitoring.close()
        self.release()
        self.archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
