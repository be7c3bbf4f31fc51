"""Wires the queue: jobs in the database, workers in this process, and bells between them."""

from __future__ import annotations

import os
import socket
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from stretto.bootstrap.clock import now
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.database.adapters.outbox import OutboxWriter, SqlOutbox
from stretto.contexts.database.model import Dialect
from stretto.contexts.processing.model import CancelToken, ProcessingProgress
from stretto.contexts.queue.adapters.bell import LocalBell, PostgresBell
from stretto.contexts.queue.adapters.connections import Clock, MachineClock, ServerClock
from stretto.contexts.queue.adapters.jobs import SqlJobs
from stretto.contexts.queue.adapters.workers import SqlWorkers
from stretto.contexts.queue.dead_letter import DeadLetterHandler
from stretto.contexts.queue.dispatcher import JobDispatcher, Source
from stretto.contexts.queue.embedded import EmbeddedQueue
from stretto.contexts.queue.model import (
    EVERY_QUEUE,
    Job,
    JobPriority,
    JobProgress,
    LeaseTerms,
    WorkerNode,
)
from stretto.contexts.queue.service import QueueService
from stretto.contexts.queue.worker import LONGEST_PAUSE_S, Worker

if TYPE_CHECKING:
    from stretto.bootstrap.database import Database
    from stretto.bootstrap.text_log import TextLog
    from stretto.contexts.core.bus import Publish
    from stretto.contexts.core.identifiers import TranscriptId
    from stretto.contexts.processing.service import ProcessingService
    from stretto.contexts.queue.ports import Bell, Task
    from stretto.settings import Settings

MODELS_AT_ONCE: Final = 2
"""How many engines a worker keeps loaded whose jobs ask for different ones."""

PAUSE_WITH_BELL_S: Final = 5.0

Complete = Callable[["TranscriptId", Callable[[], None]], None]


def build_queue(
    settings: Settings,
    database: Database,
    *,
    publish: Publish,
    bell: Bell | None = None,
    wrote: Callable[[], object] = lambda: None,
    close: Callable[[], None] = lambda: None,
) -> QueueService:
    """The queue of the database; ``wrote`` hears that there may be events to deliver."""
    jobs = jobs_of(database, wrote=wrote)
    dispatcher = JobDispatcher(
        jobs=jobs, bell=bell or LocalBell(), publish=publish, terms=terms_of(settings)
    )
    return QueueService(
        dispatcher=dispatcher,
        listed=jobs,
        log=SqlOutbox(database),
        workers=SqlWorkers(database, clock=clock_of(database)),
        dead_letters=DeadLetterHandler(dispatcher=dispatcher, listed=jobs),
        clock=now,
        identity=identity_of,
        close=close,
    )


def build_embedded(
    settings: Settings,
    database: Database,
    *,
    publish: Publish,
    wrote: Callable[[], object],
    workshop: FileWorkshop,
) -> EmbeddedQueue:
    """The queue for a process that does what it submits."""
    service = build_queue(settings, database, publish=publish, wrote=wrote)

    def worker(source: Source) -> Worker:
        return build_worker(
            settings, database, service, workshop, source=source, concurrency=1, queues=()
        )

    return EmbeddedQueue(service, worker=worker)


def build_worker(
    settings: Settings,
    database: Database,
    service: QueueService,
    workshop: FileWorkshop,
    *,
    source: Source | None = None,
    concurrency: int,
    queues: tuple[JobPriority, ...] = EVERY_QUEUE,
    stuck: Callable[[], None] = lambda: None,
) -> Worker:
    """Its database is that of ``service``, and so are its bells. One without ``queues`` works for
    its ``source`` alone."""
    jobs = jobs_of(database)
    node = WorkerNode(
        id=uuid.uuid4().hex,
        host=socket.gethostname()[:255],
        pid=os.getpid(),
        concurrency=concurrency,
        queues=queues,
        started_at=now(),
    )
    listens = isinstance(service.dispatcher.bell, PostgresBell)
    return Worker(
        node=node,
        source=source or Source(queues),
        dispatcher=service.dispatcher,
        listed=jobs,
        housekeeping=jobs,
        workers=SqlWorkers(database, clock=clock_of(database)),
        workshop=workshop,
        stuck=stuck,
        longest_pause_s=PAUSE_WITH_BELL_S if listens else LONGEST_PAUSE_S,
    )


def terms_of(settings: Settings) -> LeaseTerms:
    """A third of the lease between two signs of life, a sixth between two sweeps."""
    lease_s = float(settings.queue_lease_s)
    return LeaseTerms(
        lease_s=lease_s, beat_s=lease_s / 3, sweep_s=lease_s / 6, look_s=min(1.0, lease_s / 6)
    )


def jobs_of(database: Database, *, wrote: Callable[[], object] = lambda: None) -> SqlJobs:
    """The jobs in a database."""
    return SqlJobs(database, outbox=OutboxWriter(wrote=wrote), clock=clock_of(database))


def clock_of(database: Database) -> Clock:
    return ServerClock() if database.dialect is Dialect.POSTGRESQL else MachineClock()


def listening_bell(settings: Settings) -> Bell:
    """Rings for the jobs of all processes where the database can tell, else for this one's."""
    if settings.database_address is None:
        return LocalBell()
    from stretto.bootstrap.database import build_engine_of_database

    engine = build_engine_of_database(settings)

    def connect() -> Any:
        connection = engine.raw_connection()
        driver: Any = connection.driver_connection
        connection.detach()  # it is closed by whoever listens, and lent to nobody
        driver.autocommit = True
        return driver

    return PostgresBell(connect)


def identity_of(path: str) -> tuple[str, ...]:
    """Where a file really is, its size and when it was changed; of one that is not there only the
    path."""
    real = os.path.realpath(path)
    try:
        found = Path(real).stat()
    except (OSError, ValueError):
        return (real,)
    return (real, str(found.st_size), str(found.st_mtime_ns))


class FileWorkshop:
    """Transcribes files with the engine that each job asks for; a few engines stay loaded."""

    def __init__(
        self,
        settings: Settings,
        processing: ProcessingService,
        *,
        with_engine: Callable[[Settings], ProcessingService],
        text: TextLog | None = None,
    ) -> None:
        self._settings = settings
        self._own = processing
        self.text = text
        self._with_engine = with_engine
        self._others: OrderedDict[tuple[str, str], ProcessingService] = OrderedDict()
        self._lock = Lock()

    def begin(
        self, job: Job, *, progressed: Callable[[JobProgress], None], complete: Complete
    ) -> Task:
        return _FileTask(self, job, progressed=progressed, complete=complete)

    def processing_for(self, job: Job) -> ProcessingService:
        """Raises UnknownEngine and EngineUnavailable."""
        own = self._settings
        wanted = (job.work.engine or own.engine, job.work.model or own.model)
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
    ) -> None:
        self._workshop = workshop
        self._job = job
        self._progressed = progressed
        self._complete = complete
        self._cancel = CancelToken()
        self._kept = False
        self._text = workshop.text.of(job) if workshop.text else None

    def run(self) -> None:
        self._cancel.raise_if_cancelled()
        if not self._job.work.path:
            raise StrettoError(
                "The job is of an older Stretto, which did not say where its file is."
            )
        transcript = self._workshop.processing_for(self._job).process_file(
            Path(self._job.work.path),
            self._job.work.options,
            cancel=self._cancel,
            progressed=self._heard,
            heard=self._text.heard if self._text else None,
            keeping=self._keep,
        )
        if not self._kept:  # it was known, and so is its text
            self._complete(transcript.id, lambda: None)

    def stop(self) -> None:
        self._cancel.cancel()

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
