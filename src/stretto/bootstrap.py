"""The composition root: every port meets its adapter here, and nowhere else."""

from __future__ import annotations

import time
from importlib import metadata, util
from typing import TYPE_CHECKING, Final, Union

from stretto.application import Application, Archive
from stretto.contexts.caching.adapters import codec
from stretto.contexts.caching.adapters.memory import MemoryCacheStore
from stretto.contexts.caching.adapters.sql import SqlCacheStore
from stretto.contexts.caching.model import CacheLevel
from stretto.contexts.caching.multilevel import Level, MultiLevelCache
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import EngineUnavailable, UnknownEngine
from stretto.contexts.core.events import TranscriptDeleted
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.core.recognition import Recognition, RecognitionRequest
from stretto.contexts.database.adapters.outbox import OutboxWriter, SqlOutbox
from stretto.contexts.database.adapters.schema import SchemaGuard
from stretto.contexts.database.adapters.sqlite import SqliteDatabase
from stretto.contexts.database.model import Dialect, OutboxEvent, SchemaState
from stretto.contexts.database.outbox import OutboxRelay, Subscription
from stretto.contexts.processing.adapters.energy import EnergyDetector
from stretto.contexts.processing.adapters.jobs import SqlJobStore
from stretto.contexts.processing.adapters.library import SqlTranscriptLibrary
from stretto.contexts.processing.adapters.models import ModelLibrary
from stretto.contexts.processing.adapters.pyav import PyAvReader
from stretto.contexts.processing.adapters.search import SqlTranscriptSearch
from stretto.contexts.processing.adapters.silero import SileroDetector
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.processing.jobs import ProcessingJobs
from stretto.contexts.processing.model import ConcurrencyLimit
from stretto.contexts.processing.orchestrator import ParallelOrchestrator
from stretto.contexts.processing.ports import EngineConfiguration
from stretto.contexts.processing.service import ProcessingService
from stretto.contexts.processing.sizing import DynamicChunkSizer
from stretto.migrations import REVISIONS
from stretto.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from stretto.contexts.database.adapters.postgresql import PostgresDatabase
    from stretto.contexts.database.pool import ConnectionPoolManager
    from stretto.contexts.processing.ports import Engine, ResultCache, SpeechDetector

__all__ = [
    "build",
    "build_archive",
    "build_engine",
    "build_engine_of_database",
    "build_model_library",
    "build_pool",
    "engine_names",
    "load_settings",
    "look_at_database",
    "place_of",
    "upgrade",
]

Database = Union[SqliteDatabase, "PostgresDatabase"]

ENGINES: Final = "stretto.engines"
MEMORY_CACHE_BYTES: Final = 32_000_000


def now() -> Timestamp:
    return Timestamp(time.time())


def build(settings: Settings, *, use_cache: bool = True) -> Application:
    """Wire the program for ``settings``. Opens no file and loads no model.

    Without ``use_cache`` no answer is looked up or kept, except the finished transcript.
    """
    events = EventBus()
    database = build_database(settings)
    memory = MemoryCacheStore(MEMORY_CACHE_BYTES, now=now)
    cache = build_cache(database, memory, events) if use_cache else NoCache()
    transcripts = SqlTranscriptStore(database, outbox=OutboxWriter())
    archive = build_archive(settings, database=database, events=events, memory=memory)
    concurrency = ConcurrencyLimit(settings.concurrency)
    processing = ProcessingService(
        reader=PyAvReader(),
        detector=build_detector(),
        engine=build_engine(settings, cache),
        cache=cache,
        transcripts=transcripts,
        sizer=DynamicChunkSizer(),
        orchestrator=ParallelOrchestrator(concurrency),
        concurrency=concurrency,
        publish=events.publish,
        clock=now,
    )
    return Application(
        processing=processing,
        jobs=ProcessingJobs(
            processing,
            store=SqlJobStore(database, outbox=OutboxWriter(), clock=now),
            publish=events.publish,
            clock=now,
        ),
        archive=archive,
        events=events,
        database=place_of(settings),
        language=settings.language,
    )


def build_archive(
    settings: Settings,
    *,
    database: Database | None = None,
    events: EventBus | None = None,
    memory: MemoryCacheStore | None = None,
) -> Archive:
    """What was kept, without the means to make more of it; closing it closes the database."""
    database = database or build_database(settings)
    return Archive(
        transcripts=SqlTranscriptStore(database, outbox=OutboxWriter()),
        library=SqlTranscriptLibrary(database, outbox=OutboxWriter(), clock=now),
        words=SqlTranscriptSearch(database),
        publish=(events or EventBus()).publish,
        deliver=build_relay(database, memory).run_once,
        shut_down=database.close,
    )


def build_relay(database: Database, memory: MemoryCacheStore | None) -> OutboxRelay:
    """Delivers committed events to the parts of the program that have to act on them."""
    outbox, answers = SqlOutbox(database), SqlCacheStore(database, now=now)

    def forget_answers(event: OutboxEvent) -> None:
        if isinstance(event.event, TranscriptDeleted) and event.event.last_of_file:
            answers.delete_of(event.event.file_hash)
            if memory is not None:
                memory.clear()

    deletion = Subscription(name="cache", kinds=(TranscriptDeleted,), consumer=forget_answers)
    return OutboxRelay(outbox=outbox, receipts=outbox, subscriptions=(deletion,), clock=now)


def build_database(
    settings: Settings,
    *,
    upgrading: bool = False,
    observe: Callable[[str, float], None] | None = None,
) -> Database:
    """The database of ``settings``; nothing is opened before its first use.

    A SQLite file is brought up to date by then; a PostgreSQL only when it is ``upgrading``.
    ``observe`` hears of each statement, and how many seconds it took.
    """
    if settings.database_address is None:
        guard = build_guard(settings, upgrading=True)
        return SqliteDatabase(settings.database_path, prepare=guard, observe=observe)
    from stretto.contexts.database.adapters.postgresql import PostgresDatabase

    guard = build_guard(settings, upgrading=upgrading)
    return PostgresDatabase(
        build_pool(settings), place=place_of(settings), prepare=guard, observe=observe
    )


def build_guard(settings: Settings, *, upgrading: bool) -> SchemaGuard:
    """Looks at the tables before anything else does."""
    return SchemaGuard(
        revisions=REVISIONS,
        dialect=Dialect.POSTGRESQL if settings.database_address else Dialect.SQLITE,
        place=place_of(settings),
        upgrade=(lambda: upgrade_database(settings)) if upgrading else None,
    )


def build_pool(settings: Settings) -> ConnectionPoolManager[sa.Connection]:
    """The connections to the PostgreSQL of ``settings``, and how they are used."""
    from stretto.contexts.database.adapters.postgresql import SqlAlchemyPool
    from stretto.contexts.database.pool import ConnectionPoolManager

    place, size = place_of(settings), settings.pool_size
    pool = SqlAlchemyPool(build_engine_of_database(settings), place=place)
    return ConnectionPoolManager(pool, size=size, place=place)


def build_engine_of_database(settings: Settings) -> sa.Engine:
    """The same database for those who work with SQLAlchemy; whoever asks for it disposes of it."""
    from stretto.contexts.database.adapters import engines

    if settings.database_address is None:
        return engines.sqlite_engine(SqliteDatabase(settings.database_path))
    return engines.postgres_engine(settings.database_address, size=settings.pool_size)


def upgrade_database(settings: Settings) -> None:
    """Bring the tables to the newest revision. Raises StorageFull and StorageUnavailable."""
    from sqlalchemy.exc import DBAPIError

    from stretto.contexts.database.adapters.explaining import explained
    from stretto.migrations import runner

    engine = build_engine_of_database(settings)
    try:
        runner.upgrade(engine)
    except DBAPIError as error:
        raise explained(error, place=place_of(settings)) from error
    finally:
        engine.dispose()


def upgrade(settings: Settings) -> str:
    """As ``upgrade_database``, unless a newer program made the tables. Returns the revision."""
    database = build_database(settings, upgrading=True)
    try:
        with database.read():
            return REVISIONS[-1]
    finally:
        database.close()


def look_at_database(settings: Settings) -> str:
    """What is there, in a line, without making or changing anything. Raises StrettoError."""
    place = place_of(settings)
    if settings.database_address is None and not settings.database_path.exists():
        return f"SQLite, {place} (made at the first use)"
    guard = build_guard(settings, upgrading=False)
    if settings.database_address is None:
        database: Database = SqliteDatabase(settings.database_path)
    else:
        database = build_database(settings)
    try:
        with database.read() as connection:
            revision = guard.recorded(connection) or "of version 0.1"
            if settings.database_address or guard.state(connection) is SchemaState.NEWER:
                guard(connection)
    finally:
        database.close()
    return f"{'PostgreSQL' if settings.database_address else 'SQLite'}, {place}, tables {revision}"


def place_of(settings: Settings) -> str:
    """Where the database is, as it may be shown."""
    return str(settings.database_address or settings.database_path)


def build_cache(database: Database, memory: MemoryCacheStore, events: EventBus) -> MultiLevelCache:
    levels = (
        Level(level=CacheLevel.L1, store=memory),
        Level(level=CacheLevel.L3, store=SqlCacheStore(database, now=now)),
    )
    return MultiLevelCache(levels, codec=codec, now=now, publish=events.publish)


def build_detector() -> SpeechDetector:
    """Silero where onnxruntime is installed; else loudness, which takes music for speech."""
    return SileroDetector() if util.find_spec("onnxruntime") else EnergyDetector()


def engine_names() -> list[str]:
    return sorted(metadata.entry_points(group=ENGINES).names)


def build_engine(settings: Settings, cache: ResultCache) -> Engine:
    """The engine of that name from the entry points. Raises UnknownEngine, EngineUnavailable."""
    found = metadata.entry_points(group=ENGINES, name=settings.engine)
    if not found:
        known = ", ".join(engine_names())
        raise UnknownEngine(f"There is no engine {settings.engine[:64]!r}. Installed: {known}.")
    try:
        factory = next(iter(found)).load()
    except ImportError as cause:
        raise EngineUnavailable(
            f"The engine {settings.engine!r} cannot be loaded: {cause}."
        ) from cause
    engine: Engine = factory(
        EngineConfiguration(
            model=settings.model,
            device=settings.device,
            compute_type=settings.compute_type,
            workers=settings.workers,
            models_path=settings.models_path,
            offline=settings.offline,
            cache=cache,
        )
    )
    return engine


def build_model_library(settings: Settings) -> ModelLibrary:
    return ModelLibrary(settings.models_path, offline=settings.offline)


class NoCache:
    """Knows nothing and keeps nothing."""

    def find(self, request: RecognitionRequest) -> Recognition | None:
        return None

    def keep(self, request: RecognitionRequest, recognition: Recognition) -> None:
        pass
