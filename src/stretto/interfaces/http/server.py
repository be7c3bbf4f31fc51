"""What the routes of the server work with."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Protocol

from fastapi import Depends, Request

from stretto.bootstrap.serving import Serving
from stretto.contexts.core.access import Caller
from stretto.contexts.core.errors import (
    InvalidOption,
    StrettoError,
    UnknownJob,
    UnknownModel,
    UnknownTranscript,
)
from stretto.contexts.core.identifiers import JobId, Language, TranscriptId
from stretto.contexts.core.recognition import Task, TranscriptionOptions
from stretto.contexts.processing.library import TranscriptSummary
from stretto.contexts.processing.recordings import Recording
from stretto.contexts.queue.model import FileWork, Job, JobPriority
from stretto.interfaces.http.drawing import Drawing
from stretto.interfaces.http.fetching import Fetching
from stretto.interfaces.http.streaming import Streams
from stretto.interfaces.http.watching import Watch

OPENAI_MODELS: Final = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
)
"""Names that clients have built in: they all mean the model of the settings."""

LOCAL_ENGINE: Final = "whisper"


class Hands(Protocol):
    """Whoever works on jobs beside the server; ``work`` says that there is somebody."""

    @property
    def work(self) -> bool: ...

    def ring(self) -> None:
        """There is something to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Everything in one hand, for every request the same."""

    serving: Serving
    watch: Watch
    hands: Hands
    drawing: Drawing = field(default_factory=Drawing)
    fetching: Fetching = field(default_factory=Fetching)
    streams: Streams = field(init=False)
    page: Path = field(default=Path(__file__).parent / "page")

    def __post_init__(self) -> None:
        object.__setattr__(self, "streams", Streams(self.serving.settings.serve_streams))

    def submit(
        self,
        work: FileWork,
        recording: Recording,
        *,
        caller: Caller,
        priority: JobPriority,
        key: str = "",
    ) -> Job:
        """Raises what QueueService.submit raises, and UnknownUpload when the recording was deleted
        meanwhile. Idempotency keys are each owner's own."""
        named = f"{caller.owner}:{key}" if key and caller.owner else key
        with self.serving.recordings.held(recording):
            job = self.serving.queue.submit(work, priority=priority, key=named)
        self.hands.ring()
        return job

    @contextmanager
    def using(self, recording: Recording) -> Generator[None, None, None]:
        """A recording that came along with a request which is refused does not stay."""
        try:
            yield
        except StrettoError:
            if recording.is_new:
                self.serving.keeper.forget_of(recording.owner, recording.file_hash)
            raise

    def work(self, path: Path, options: TranscriptionOptions, model: str) -> FileWork:
        """Raises UnknownModel."""
        settings = self.serving.settings
        return FileWork(
            path=str(path), options=options, engine=settings.engine, model=self.model_named(model)
        )

    def model_named(self, name: str) -> str:
        """Only what is in the list: a name from outside must never be a path here. Raises
        UnknownModel."""
        if not name or name in OPENAI_MODELS:
            return self.serving.settings.model
        if name not in self.model_names():
            raise UnknownModel(
                f"The model {name[:80]!r} does not exist here. See which there are: GET /v1/models"
            )
        return name

    def model_names(self) -> list[str]:
        """Those that can be used just now, the one of the settings first."""
        settings = self.serving.settings
        if settings.engine != LOCAL_ENGINE:
            return [settings.model or settings.engine]
        installed = [entry.name for entry in self.serving.models.list() if entry.installed]
        return sorted(installed, key=lambda name: (name != self.default_model(), name))

    def default_model(self) -> str:
        settings = self.serving.settings
        return settings.model or self.serving.models.default_name()

    def job(self, job_id: str, caller: Caller) -> Job:
        """Raises UnknownJob, also for one of somebody else."""
        found = JobId.parse(job_id)
        job = self.serving.queue.get(found)
        if not caller.may_see(job.owner):
            raise UnknownJob(f"There is no job {found}.")
        return job

    def summary(self, transcript_id: str, caller: Caller) -> TranscriptSummary:
        """Raises UnknownTranscript, also for one of somebody else."""
        found = TranscriptId.parse(transcript_id)
        summary = self.serving.archive.summary(found)
        if not caller.may_see(summary.owner):
            raise UnknownTranscript(f"There is no transcript {found}.")
        return summary

    def options(
        self, caller: Caller, *, language: str = "", prompt: str = "", task: str = "transcribe"
    ) -> TranscriptionOptions:
        """Raises InvalidLanguage and InvalidOption."""
        spoken = language.strip() or self.serving.settings.language
        return TranscriptionOptions(
            language=Language.parse(spoken) if spoken else None,
            prompt=prompt,
            task=task_named(task),
            scope=caller.owner,
        )


def task_named(text: str) -> Task:
    """Raises InvalidOption."""
    try:
        return Task(text.strip().lower())
    except ValueError as cause:
        allowed = " or ".join(Task)
        raise InvalidOption(f"A task is {allowed}, not {text[:32]!r}.") from cause


async def server_of(request: Request) -> Server:
    """What the application was made with."""
    server: Server = request.app.state.server
    return server


ServerOf = Annotated[Server, Depends(server_of)]
