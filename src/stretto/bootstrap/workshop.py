"""Where the jobs of the queue are worked on: files, and the parts of long ones."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.processing.model import (
    CancelToken,
    ProcessingProgress,
    Share,
    SharedOut,
    Shares,
)
from stretto.contexts.queue.division import Division, Part
from stretto.contexts.queue.model import Divided, FileWork, Job, JobProgress

if TYPE_CHECKING:
    from stretto.bootstrap.text_log import TextLog
    from stretto.contexts.core.identifiers import TranscriptId
    from stretto.contexts.core.transcript import Transcript
    from stretto.contexts.processing.parts import Reels
    from stretto.contexts.processing.service import ProcessingService
    from stretto.contexts.queue.ports import Task
    from stretto.settings import Settings

MODELS_AT_ONCE: Final = 2
"""How many engines a worker keeps loaded whose jobs ask for different ones."""

Complete = Callable[["TranscriptId | None", Callable[[], None]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a file was shared out, and for which engine: its parts and their sum need the same."""

    how: SharedOut
    engine: str
    model: str


class FileWorkshop:
    """Transcribes files with the engine that each job asks for; a few engines stay loaded.

    One that ``divides`` shares long files out to all workers. That is for those who keep answers
    in a cache that they have in common, and who have ``company``: for a worker alone it is slower,
    and the text is not there before all of it is. But when a worker died with a file, it is
    divided all the same, so that what killed it is one part.

    A ``patient`` one would rather work on a file again, later, than leave out what a service could
    not be asked for just now. That is not for those whose user sits and waits.
    """

    def __init__(
        self,
        settings: Settings,
        processing: ProcessingService,
        *,
        with_engine: Callable[[Settings], ProcessingService],
        text: TextLog | None = None,
        divides: bool = False,
        company: Callable[[], bool] = lambda: True,
        patient: bool = False,
    ) -> None:
        self._divides = divides
        self.patient = patient
        self._company = company
        self.text = text
        self._settings = settings
        self._own = processing
        self._with_engine = with_engine
        self._others: OrderedDict[tuple[str, str], ProcessingService] = OrderedDict()
        self._reels: Reels | None = None
        self._lock = Lock()

    def divides(self, job: Job) -> bool:
        return self._divides and (job.crashes > 0 or self._company())

    def begin(
        self,
        job: Job,
        *,
        progressed: Callable[[JobProgress], None],
        complete: Complete,
        last: bool,
    ) -> Task:
        return _FileTask(self, job, progressed=progressed, complete=complete, last=last)

    @property
    def parts_at_once(self) -> int:
        """How many parts make as much work as one file, whose chunks are done side by side."""
        here = self._settings.concurrency
        return min(here, self._own.engine.limits.concurrency or here)

    @property
    def reels(self) -> Reels:
        """The files that are being decoded for their parts."""
        from stretto.contexts.processing.parts import Reels

        with self._lock:
            self._reels = self._reels or Reels()
            return self._reels

    def engine_for(self, work: FileWork) -> tuple[str, str]:
        """The names of the engine and of its model."""
        return (work.engine or self._settings.engine, work.model or self._settings.model)

    def processing_for(self, wanted: tuple[str, str]) -> ProcessingService:
        """Raises UnknownEngine and EngineUnavailable."""
        own = self._settings
        if wanted == (own.engine, own.model):
            return self._own
        with self._lock:
            found = self._others.pop(wanted, None) or self._with_engine(
                replace(own, engine=wanted[0], model=wanted[1])
            )
            self._others[wanted] = found
            while len(self._others) >= MODELS_AT_ONCE:
                self._others.popitem(last=False)
            return found


class _FileTask:
    """One file on its way through the processing service, to be stopped from another thread."""

    def __init__(
        self,
        workshop: FileWorkshop,
        job: Job,
        *,
        progressed: Callable[[JobProgress], None],
        complete: Complete,
        last: bool,
    ) -> None:
        self._workshop = workshop
        self._patient = workshop.patient and not last
        self._job = job
        self._path = Path(job.work.path)
        self._progressed = progressed
        self._complete = complete
        self._cancel = CancelToken()
        self._kept = False
        whole = job.work.part is None
        self._text = workshop.text.of(job) if workshop.text and whole else None

    def run(self) -> Divided | None:
        self._cancel.raise_if_cancelled()
        job = self._job
        if not job.work.path:
            raise StrettoError(
                "The job is of an older Stretto, which did not say where its file is."
            )
        if job.work.part is not None:
            self._process_part(job.work.part)
        elif job.division is not None:
            self._put_together(job.division)
        else:
            return self._process_or_divide()
        return None

    def stop(self) -> None:
        self._cancel.cancel()

    def _process_or_divide(self) -> Divided | None:
        job = self._job
        wanted = self._workshop.engine_for(job.work)
        processing = self._workshop.processing_for(wanted)
        if self._workshop.divides(job) and (
            shares := processing.share_out(self._path, job.work.options, cancel=self._cancel)
        ):
            return divided(job.work, shares, wanted)
        self._process(processing)
        return None

    def _process_part(self, part: Part) -> None:
        plan, work = read_plan(part.plan), self._job.work
        self._workshop.processing_for((plan.engine, plan.model)).process_share(
            self._path,
            Share(number=part.number, start_s=part.start_s, end_s=part.end_s, options=work.options),
            plan.how,
            reels=self._workshop.reels,
            state=identity_of(work.path),
            cancel=self._cancel,
            progressed=self._heard,
        )
        self._complete(None, lambda: None)

    def _put_together(self, division: Division) -> None:
        """Everything that was done is recalled from the cache; what is not there is done now."""
        plan = read_plan(division.plan)
        given_up = {one.number: one.reason for one in division.missing}
        processing = self._workshop.processing_for((plan.engine, plan.model))
        self._process(processing, replace(plan.how, given_up=given_up))

    def _process(self, processing: ProcessingService, shared: SharedOut | None = None) -> None:
        transcript = processing.process_file(
            self._path,
            self._job.work.options,
            cancel=self._cancel,
            progressed=self._heard,
            heard=self._text.heard if self._text else None,
            keeping=self._keep,
            shared=shared,
            patient=self._patient,
        )
        if not self._kept:  # it was known, and so is its text
            self._complete(transcript.id, lambda: None)

    def _keep(self, transcript: Transcript, keep: Callable[[], None]) -> None:
        if self._text:
            self._text.write()
        self._complete(transcript.id, keep)
        self._kept = True

    def _heard(self, progress: ProcessingProgress) -> None:
        self._progressed(
            JobProgress(
                fraction=progress.fraction,
                done_s=progress.done_s,
                total_s=progress.total_s,
                chunks_done=progress.chunks_done,
                chunks_known=progress.chunks_known,
            )
        )


def divided(work: FileWork, shares: Shares, engine: tuple[str, str]) -> Divided:
    """The shares of a file as parts of its job."""
    plan = Plan(how=shares.how, engine=engine[0], model=engine[1])
    written = msgspec.json.encode(plan).decode()
    works = tuple(
        replace(
            work,
            options=share.options,
            engine=engine[0],
            model=engine[1],
            part=Part(number=share.number, start_s=share.start_s, end_s=share.end_s, plan=written),
        )
        for share in shares.to_do
    )
    division = Division(
        plan=written,
        parts=len(works),
        open=len(works),
        chunks=shares.chunks,
        total_s=shares.total_s,
    )
    return Divided(division=division, works=works, known_s=shares.known_s)


_PLAN: Final = msgspec.json.Decoder(Plan)
"""Made before there are threads; the ``rows`` of the queue say why."""


def read_plan(text: str) -> Plan:
    return _PLAN.decode(text)


def identity_of(path: str) -> tuple[str, ...]:
    """Where a file really is, its size and when it was changed; of one that is not there only the
    path."""
    real = os.path.realpath(path)
    try:
        found = Path(real).stat()
    except (OSError, ValueError):
        return (real,)
    return (real, str(found.st_size), str(found.st_mtime_ns))
