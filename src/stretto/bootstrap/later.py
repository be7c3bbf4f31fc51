"""What is not needed for a recording that is known is put together, and imported, at its first
use."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import util
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from stretto.contexts.core.events import JobCancelled, JobCompleted, JobFailed

if TYPE_CHECKING:
    from stretto.bootstrap.caching import Caching
    from stretto.bootstrap.database import Database
    from stretto.bootstrap.queueing import FileWorkshop
    from stretto.contexts.caching.management import CacheManagement
    from stretto.contexts.caching.ports import Observer
    from stretto.contexts.core.audio import AudioFile, FileIdentity, Span
    from stretto.contexts.core.bus import EventBus
    from stretto.contexts.core.recognition import Recognition, RecognitionRequest
    from stretto.contexts.processing.model import CancelToken, Samples
    from stretto.contexts.processing.ports import AudioReader, AudioStream, SpeechDetector
    from stretto.contexts.processing.service import ProcessingService
    from stretto.contexts.queue.dispatcher import Source
    from stretto.contexts.queue.embedded import EmbeddedQueue
    from stretto.contexts.queue.model import JobPriority
    from stretto.contexts.queue.worker import Worker
    from stretto.settings import Settings


class LaterReader:
    """An audio reader that is made when it has to look into a file: ``decoder`` says where FFmpeg
    runs, see the setting of that name."""

    def __init__(self, decoder: str = "process") -> None:
        self._decoder = decoder
        self._made: AudioReader | None = None
        self._lock = Lock()

    def prepare(self) -> None:
        self.made().prepare()

    def identify(self, path: Path) -> FileIdentity:
        from stretto.contexts.processing.adapters.media_source import identify

        return identify(path)

    def probe(self, content: FileIdentity, *, stream: int | None = None) -> AudioFile:
        return self.made().probe(content, stream=stream)

    def open(self, file: AudioFile) -> AudioStream:
        return self.made().open(file)

    def made(self) -> AudioReader:
        with self._lock:
            if self._made is None:
                self._made = _build_reader(self._decoder)
            return self._made


def _build_reader(decoder: str) -> AudioReader:
    from stretto.contexts.processing.adapters.decoder.process import supported

    if decoder == "process" and supported():
        from stretto.contexts.processing.adapters.decoder.reader import IsolatedReader

        return IsolatedReader()
    from stretto.contexts.processing.adapters.pyav import PyAvReader

    return PyAvReader()


class LaterDetector:
    """A speech detector: Silero where onnxruntime is installed; else loudness, which takes music
    for speech."""

    def __init__(self) -> None:
        self._made: SpeechDetector | None = None
        self._lock = Lock()

    def find(self, samples: Samples) -> tuple[Span, ...]:
        return self.made().find(samples)

    def made(self) -> SpeechDetector:
        with self._lock:
            if self._made is None:
                self._made = _build_detector()
            return self._made


def _build_detector() -> SpeechDetector:
    if util.find_spec("onnxruntime"):
        from stretto.contexts.processing.adapters.silero import SileroDetector

        return SileroDetector()
    from stretto.contexts.processing.adapters.energy import EnergyDetector

    return EnergyDetector()


class LaterCache:
    """A result cache."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        events: EventBus,
        *,
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._events = events
        self._observer = observer
        self._made: Caching | None = None
        self._lock = Lock()

    def made(self) -> Caching:
        """Raises InvalidOption when Redis is set up and its package is missing."""
        if self._made is None:
            with self._lock:  # two would not know of each other's flights
                if self._made is None:
                    from stretto.bootstrap.caching import build_caching

                    self._made = build_caching(
                        self._settings, self._database, self._events, observer=self._observer
                    )
        return self._made

    def management(self) -> CacheManagement:
        return self.made().management

    def find(self, request: RecognitionRequest) -> Recognition | None:
        return self.made().cache.find(request)

    def keep(self, request: RecognitionRequest, recognition: Recognition) -> None:
        self.made().cache.keep(request, recognition)

    def compute(
        self, request: RecognitionRequest, work: Callable[[], Recognition], *, cancel: CancelToken
    ) -> Recognition:
        return self.made().cache.compute(request, work, cancel=cancel)

    def close(self) -> None:
        if self._made is not None:
            self._made.management.close()


class LaterQueue:
    """A queue in this process that is put together, and whose modules are imported, at its first
    use. ``with_engine`` makes what transcribes for a job that wants another engine. One that
    ``keeps`` the answers for chunks may let a file be done in pieces."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        events: EventBus,
        *,
        processing: ProcessingService,
        with_engine: Callable[[Settings], ProcessingService],
        wrote: Callable[[], object],
        keeps: bool = True,
    ) -> None:
        self._settings = settings
        self._keeps = keeps
        self._database = database
        self._events = events
        self._processing = processing
        self._with_engine = with_engine
        self._wrote = wrote
        self._made: EmbeddedQueue | None = None
        self._endings: list[Callable[[], None]] = []
        self._lock = Lock()

    def made(self) -> EmbeddedQueue:
        with self._lock:  # two would work on the same jobs
            if self._made is None:
                from stretto.bootstrap.queueing import build_embedded

                self._made = build_embedded(
                    self._settings,
                    self._database,
                    publish=self._events.publish,
                    wrote=self._wrote,
                    workshop=self._workshop(),
                    call_back=partial(self._call_back, last_calls_s=10.0),
                )
            return self._made

    def worker(
        self,
        *,
        concurrency: int,
        queues: tuple[JobPriority, ...],
        stuck: Callable[[], None],
        source: Source | None,
    ) -> Worker:
        from stretto.bootstrap.queueing import build_queue, build_worker, listening_bell

        bell = None if source else listening_bell(self._settings)
        self._call_back(last_calls_s=1.0)
        service = build_queue(
            self._settings,
            self._database,
            publish=self._events.publish,
            bell=bell,
            wrote=self._wrote,
        )
        self._endings += [service.dispatcher.bell.close, service.close]
        return build_worker(
            self._settings,
            self._database,
            service,
            self._workshop(keeps=self._keeps, company=lambda: len(service.nodes()) > 1),
            source=source,
            concurrency=concurrency,
            queues=queues,
            stuck=stuck,
        )

    def _call_back(self, *, last_calls_s: float) -> None:
        """From now on, this process calls those who want to hear that a job is over."""
        from stretto.bootstrap.webhooks import build_courier
        from stretto.contexts.queue.webhooks import CourierThread

        courier = CourierThread(
            build_courier(self._settings, self._database), last_calls_s=last_calls_s
        )
        for end in (JobCompleted, JobFailed, JobCancelled):
            self._events.subscribe(end, lambda _: courier.nudge())
        courier.start()
        self._endings.append(courier.close)

    def close(self) -> None:
        if self._made is not None:
            self._made.close()
            self._made.service.close()
        for end in self._endings:
            end()

    def _workshop(
        self, *, keeps: bool = False, company: Callable[[], bool] = lambda: True
    ) -> FileWorkshop:
        """One that works for this process alone shares its files with nobody, and does not keep
        its user waiting for a service that is away."""
        from stretto.bootstrap.text_log import TextLog
        from stretto.bootstrap.workshop import FileWorkshop

        return FileWorkshop(
            self._settings,
            self._processing,
            with_engine=self._with_engine,
            text=TextLog(self._database),
            divides=keeps,
            company=company,
            patient=keeps,
        )
