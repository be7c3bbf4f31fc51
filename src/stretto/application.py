"""The use cases on one page: what somebody can do with Stretto, whatever they reach it by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import JobId, Language, TranscriptId
from stretto.contexts.core.job import ProcessingJob
from stretto.contexts.core.recognition import Task, TranscriptionOptions
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.processing.jobs import ProcessingJobs
from stretto.contexts.processing.model import CancelToken, PlanReport, ProcessingProgress
from stretto.contexts.processing.service import ProcessingService


class TranscriptLibrary(Protocol):
    """Transcripts that were kept."""

    def get(self, transcript_id: TranscriptId) -> Transcript | None: ...

    def recent(self, limit: int) -> tuple[Transcript, ...]: ...


def options_from(
    *, language: str | Language | None = None, prompt: str = "", task: Task = Task.TRANSCRIBE
) -> TranscriptionOptions:
    """Raises InvalidLanguage and InvalidOption."""
    spoken = Language.parse(language) if isinstance(language, str) and language else language
    return TranscriptionOptions(language=spoken or None, prompt=prompt, task=task)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Made by ``bootstrap.build``; close it, or use it in a ``with`` block.

    ``database`` says where results are kept; ``language`` is the settings' word for recordings
    whose language nobody gives (empty: find out).
    """

    processing: ProcessingService
    jobs: ProcessingJobs
    transcripts: TranscriptLibrary
    events: EventBus
    database: Path
    language: str
    shut_down: Callable[[], None]

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
    ) -> Transcript:
        """The transcript of a file: recalled if it is known, else made and kept.

        ``stream`` counts audio streams from 0; ``again`` transcribes even what is known.
        Raises StrettoError.
        """
        return self.processing.process_file(
            Path(path),
            self._options(language, prompt),
            stream=stream,
            again=again,
            cancel=cancel,
            progressed=progressed,
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
        self, path: str | Path, *, language: str | Language | None = None, prompt: str = ""
    ) -> JobId:
        """Transcribe in the background; ask ``job``, ``progress`` and ``result`` about it."""
        return self.jobs.submit_job(Path(path), self._options(language, prompt))

    def job(self, job_id: JobId) -> ProcessingJob:
        return self.jobs.get_job(job_id)

    def progress(self, job_id: JobId) -> ProcessingProgress:
        return self.jobs.get_progress(job_id)

    def result(self, job_id: JobId, *, timeout_s: float | None = None) -> Transcript:
        return self.jobs.result(job_id, timeout_s=timeout_s)

    def cancel(self, job_id: JobId) -> None:
        self.jobs.cancel(job_id)

    def _options(self, language: str | Language | None, prompt: str) -> TranscriptionOptions:
        return options_from(language=language or self.language, prompt=prompt)

    def close(self) -> None:
        self.jobs.close()
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
