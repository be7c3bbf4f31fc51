"""The composition root: every port meets its adapter here, and nowhere else."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib import metadata
from threading import Event
from typing import TYPE_CHECKING, Final

from stretto.application import Application, Archive
from stretto.bootstrap.advice import (
    advisers_of,
    build_advisers,
    load_together,
    watch_statements,
)
from stretto.bootstrap.clock import now
from stretto.bootstrap.database import (
    Database,
    build_database,
    build_engine_of_database,
    build_pool,
    look_at_database,
    place_of,
    upgrade,
)
from stretto.bootstrap.later import LaterCache, LaterDetector, LaterQueue, LaterReader
from stretto.bootstrap.relay import RelayThread, build_relay
from stretto.bootstrap.remote import RemoteServices
from stretto.bootstrap.slow_statements import SlowStatements
from stretto.bootstrap.watching import LaterMonitoring
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import EngineUnavailable, UnknownEngine
from stretto.contexts.core.recognition import Recognition, RecognitionRequest
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.library import SqlTranscriptLibrary
from stretto.contexts.processing.adapters.models import ModelLibrary
from stretto.contexts.processing.adapters.search import SqlTranscriptSearch
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.processing.model import ConcurrencyLimit
from stretto.contexts.processing.orchestrator import ParallelOrchestrator
from stretto.contexts.processing.ports import EngineConfiguration
from stretto.contexts.processing.service import ProcessingService
from stretto.contexts.processing.sizing import DynamicChunkSizer
from stretto.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from stretto.contexts.processing.model import CancelToken
    from stretto.contexts.processing.ports import Engine, ResultCache
    from stretto.contexts.queue.service import QueueService

__all__ = [
    "Database",
    "advisers_of",
    "build",
    "build_advisers",
    "build_archive",
    "build_database",
    "build_engine",
    "build_engine_of_database",
    "build_model_library",
    "build_pool",
    "engine_names",
    "load_settings",
    "load_together",
    "look_at_database",
    "open_queue",
    "place_of",
    "upgrade",
    "watch_statements",
]

logger = logging.getLogger(__name__)

ENGINES: Final = "stretto.engines"
LOCAL_ENGINE: Final = "whisper"


def build(settings: Settings, *, use_cache: bool = True) -> Application:
    """Wire the program for ``settings``. Opens no file and loads no model; but what waits for a
    CDN is sent in the background from now on, where one is set up.

    Without ``use_cache`` no answer is looked up or kept, except the finished transcript.
    """
    events = EventBus()
    slow, due = SlowStatements(settings), Event()
    database = build_database(settings, slow=slow.runs, left_behind=due.set)
    monitoring = LaterMonitoring(settings, database, events, due=due)
    slow.counted = monitoring.slow_statement
    caching = LaterCache(settings, database, events, observer=monitoring)
    cache = caching if use_cache else NoCache()
    relay = RelayThread(build_relay(settings, database, caching, due))
    monitoring.deliver = relay.wake
    archive = _archive(
        database, slow, relay, caching, events=events, besides=_sending(settings, database, events)
    )
    relay.follow(events)
    concurrency = ConcurrencyLimit(settings.concurrency)
    services = RemoteServices(settings, observer=monitoring)
    monitoring.watch(services)
    engine_of = partial(build_engine, cache=cache, remote=services)
    processing = ProcessingService(
        reader=LaterReader(settings.decoder),
        detector=LaterDetector(),
        engine=engine_of(settings),
        cache=cache,
        transcripts=SqlTranscriptStore(database, outbox=OutboxWriter(wrote=due.set)),
        sizer=DynamicChunkSizer(),
        orchestrator=ParallelOrchestrator(concurrency),
        concurrency=concurrency,
        publish=events.publish,
        clock=now,
    )
    _prepare(settings, caching, warm=use_cache and bool(settings.cache_warm_s))
    return Application(
        processing=processing,
        queueing=LaterQueue(
            settings,
            database,
            events,
            processing=processing,
            with_engine=lambda other: replace(processing, engine=engine_of(other)),
            wrote=due.set,
            keeps=use_cache,
        ),
        archive=archive,
        management=caching.management,
        events=events,
        database=place_of(settings),
        language=settings.language,
        release=services.close,
        engine=settings.engine,
        model=settings.model,
        monitoring=monitoring,
    )


def _prepare(settings: Settings, caching: LaterCache, *, warm: bool) -> None:
    if settings.redis_url:
        caching.made()  # says at once when its package is missing
    if warm:
        from stretto.bootstrap.caching import warm_in_background

        warm_in_background(settings, caching.management())


def open_queue(settings: Settings) -> QueueService:
    """The queue for those who submit and look, without the means to work; close it."""
    from stretto.bootstrap.queueing import build_queue

    database = build_database(settings)
    return build_queue(settings, database, publish=EventBus().publish, close=database.close)


def build_archive(
    settings: Settings,
    *,
    database: Database | None = None,
    due: Event | None = None,
    events: EventBus | None = None,
) -> Archive:
    """What was kept, without the means to make more of it; closing it closes the database. ``due``
    is set by whoever writes events that it has to deliver; ``events`` hear what happens to it."""
    slow, due = SlowStatements(settings), due or Event()
    database = database or build_database(settings, slow=slow.runs, left_behind=due.set)
    events = events or EventBus()
    caching = LaterCache(settings, database, events)
    relay = RelayThread(build_relay(settings, database, caching, due))
    relay.follow(events)
    return _archive(database, slow, relay, caching, events=events)


def _archive(
    database: Database,
    slow: SlowStatements,
    relay: RelayThread,
    caching: LaterCache,
    *,
    events: EventBus,
    besides: Callable[[], None] = lambda: None,
) -> Archive:
    outbox = OutboxWriter(wrote=relay.relay.due.set)

    def shut_down() -> None:
        with ExitStack() as afterwards:
            for close in (database.close, slow.close, caching.close, besides):  # the last one first
                afterwards.callback(close)
            relay.close()

    return Archive(
        transcripts=SqlTranscriptStore(database, outbox=outbox),
        library=SqlTranscriptLibrary(database, outbox=outbox, clock=now),
        words=SqlTranscriptSearch(database),
        publish=events.publish,
        deliver=relay.deliver,
        wake=relay.wake,
        deliver_last=relay.close,
        shut_down=shut_down,
    )


def _sending(settings: Settings, database: Database, events: EventBus) -> Callable[[], None]:
    """What waits for the CDN is sent in the background, where there is one. Returns its end."""
    if not settings.cdn_url:
        return lambda: None
    from stretto.bootstrap.cdn import deliver_in_background

    return deliver_in_background(settings, database, events.publish)


def engine_names() -> list[str]:
    return sorted(metadata.entry_points(group=ENGINES).names)


def build_engine(
    settings: Settings,
    cache: ResultCache,
    *,
    remote: RemoteServices | None = None,
) -> Engine:
    """The engine of that name from the entry points; ``remote`` makes the clients of services.

    With ``hedge`` set, another one stands behind it; with ``align``, a service's text gets its
    times from the local engine. Raises UnknownEngine and EngineUnavailable.
    """
    services = remote or RemoteServices(settings)
    configuration = EngineConfiguration(
        model=settings.model,
        device=settings.device,
        compute_type=settings.compute_type,
        workers=settings.workers,
        models_path=settings.models_path,
        offline=settings.offline,
        cache=cache,
        remote=services,
    )
    engine = _engine_named(settings.engine, configuration)
    if settings.hedge and settings.hedge != settings.engine:
        from stretto.contexts.processing.hedged_engine import HedgedEngine

        behind = replace(configuration, model=settings.hedge_model)
        engine = HedgedEngine(
            first=engine,
            second=_engine_named(settings.hedge, behind),
            calm=lambda: services.calm(settings.engine),
            clock=time.monotonic,
        )
    if settings.align and settings.engine != LOCAL_ENGINE:
        from stretto.contexts.processing.aligned_engine import AlignedEngine

        local = replace(configuration, model=settings.align_model)
        engine = AlignedEngine(text=engine, times=_engine_named(LOCAL_ENGINE, local))
    return engine


def _engine_named(name: str, configuration: EngineConfiguration) -> Engine:
    found = metadata.entry_points(group=ENGINES, name=name)
    if not found:
        known = ", ".join(engine_names())
        raise UnknownEngine(f"There is no engine {name[:64]!r}. Installed: {known}.")
    try:
        factory = next(iter(found)).load()
    except ImportError as cause:
        raise EngineUnavailable(f"The engine {name!r} cannot be loaded: {cause}.") from cause
    engine: Engine = factory(configuration)
    return engine


def build_model_library(settings: Settings) -> ModelLibrary:
    return ModelLibrary(settings.models_path, offline=settings.offline)


class NoCache:
    """Knows nothing and keeps nothing."""

    def find(self, request: RecognitionRequest) -> Recognition | None:
        return None

    def keep(self, request: RecognitionRequest, recognition: Recognition) -> None:
        pass

    def compute(
        self, request: RecognitionRequest, work: Callable[[], Recognition], *, cancel: CancelToken
    ) -> Recognition:
        return work()
