"""A worker process for tests of dying: the program's own queue, cache and database; recordings that
are made up from their names; an engine that writes each call into a ledger outside.

``python -m tests.chaos.worker PLACE LEDGER CONCURRENCY CHUNK_S LEASE_S``

With STRETTO_OPENAI_URL set, the engine is that service, and what keeps the ledger is the service.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from stretto.bootstrap import NoCache, build_engine
from stretto.bootstrap.caching import build_caching
from stretto.bootstrap.clock import now
from stretto.bootstrap.database import build_database
from stretto.bootstrap.queueing import FileWorkshop, build_queue, build_worker, listening_bell
from stretto.contexts.core.audio import SAMPLE_RATE_HZ, AudioFile
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.recognition import Recognition, TranscriptionOptions
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.database.model import ConnectionString
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.processing.model import (
    AudioChunk,
    CancelToken,
    ConcurrencyLimit,
    EngineLimits,
    Samples,
)
from stretto.contexts.processing.orchestrator import ParallelOrchestrator
from stretto.contexts.processing.ports import Engine, ResultCache, TranscriptStore
from stretto.contexts.processing.service import ProcessingService
from stretto.contexts.processing.sizing import DynamicChunkSizer
from stretto.settings import Settings
from tests.chaos.clocks import shift_if_told
from tests.fakes.audio import LoudnessDetector, MemoryReader, MemoryStream, speechlike
from tests.fakes.engine import MemoryEngine
from tests.servers import settings_of

SECONDS = 18.0
LONG_S = 60.0
"""Of recordings that are shared out: ten chunks and more."""

EIGHT_S = 34.0
"""Of ``eight-2`` and ``eight-3``, which have eight."""

LIMITS = EngineLimits(max_seconds=6.0)
CACHE_MB = 4
"""In the memory of a worker: so little that it is full long before the end of a long run."""

POISON = "poison"
POISONED_CHUNK = 3
"""Of a ``long-poison``; the others of it are sound."""


class Recordings(dict[str, Samples]):
    """Every name there may be: ``talk-7.wav`` always sounds the same, and like no other; one of
    ``long-7.wav`` is long."""

    def get(self, name: str, default: Any = None) -> Any:
        kind = name.split("-")[0]
        seconds = {"long": LONG_S, "eight": EIGHT_S}.get(kind, SECONDS)
        return speechlike(seconds, seed=int("".join(filter(str.isdigit, name)) or 0) + 1)

    def __getitem__(self, name: str) -> Samples:
        found: Samples = self.get(name)
        return found


class ForgetfulReader(MemoryReader):
    """Keeps nothing of what it has opened: hours of it would not fit."""

    def open(self, file: AudioFile) -> MemoryStream:
        stream = super().open(file)
        self.opened.clear()
        return stream


class LedgerEngine(MemoryEngine):
    """Each call is a line of the ledger before anything else happens. One for a recording whose
    samples are of ``poisoned`` ends the process, as a bug in native code does."""

    def __init__(self, ledger: Path, chunk_s: float) -> None:
        super().__init__(limits=LIMITS)
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._chunk_s = chunk_s
        self.poisoned: set[str] = set()
        self.poisoned_chunks: set[tuple[str, int]] = set()

    def recognise(
        self,
        chunk: AudioChunk,
        options: TranscriptionOptions,
        *,
        cancel: CancelToken,
        report: Callable[[float], None],
    ) -> Recognition:
        os.write(self._ledger, f"{chunk.audio} {os.getpid()}\n".encode())
        until = time.monotonic() + self._chunk_s
        while time.monotonic() < until:
            cancel.raise_if_cancelled()
            time.sleep(0.005)
        source = chunk.source.value if chunk.source else ""
        if source in self.poisoned or (source, chunk.planned.index) in self.poisoned_chunks:
            ctypes.string_at(0)
        self.heard.clear()  # as with the reader: hours of it would be many
        return super().recognise(chunk, options, cancel=cancel, report=report)


def remote_engine(settings: Settings) -> Engine:
    """The engine for a service that takes as little as the one that is made up."""
    settings = replace(
        settings,
        engine="openai",
        openai_url=os.environ["STRETTO_OPENAI_URL"],
        remote_ca_file=os.environ["STRETTO_REMOTE_CA_FILE"],
        remote_call_s=int(LIMITS.max_seconds or 0),
    )
    return build_engine(settings, NoCache())


def a_service(
    engine: Engine, cache: ResultCache, transcripts: TranscriptStore, events: EventBus
) -> ProcessingService:
    limit = ConcurrencyLimit(2)
    return ProcessingService(
        reader=ForgetfulReader(Recordings(), block=SAMPLE_RATE_HZ),
        detector=LoudnessDetector(),
        engine=engine,
        cache=cache,
        transcripts=transcripts,
        sizer=DynamicChunkSizer(),
        orchestrator=ParallelOrchestrator(limit),
        concurrency=limit,
        publish=events.publish,
        clock=now,
    )


def poison(engine: LedgerEngine, processing: ProcessingService, *, cured: bool) -> None:
    def source(name: str) -> str:
        return processing.reader.identify(Path(f"{name}.wav")).file_hash.value

    engine.poisoned = {source(f"{POISON}-{number}") for number in (9000, 9001)}
    if not cured:
        engine.poisoned_chunks = {(source(f"long-{POISON}-9100"), POISONED_CHUNK)}


def main(place: str, ledger: str, concurrency: str, chunk_s: str, lease_s: str) -> None:
    shift_if_told()
    where = ConnectionString.parse(place) if "://" in place else Path(place)
    settings = settings_of(where, queue_lease_s=int(lease_s), cache_memory_mb=CACHE_MB)
    database, events = build_database(settings), EventBus()
    engine: Engine = LedgerEngine(Path(ledger), float(chunk_s))
    if "STRETTO_OPENAI_URL" in os.environ:
        engine = remote_engine(settings)
    cache = build_caching(settings, database, events).cache
    transcripts = SqlTranscriptStore(database, outbox=OutboxWriter())
    processing = a_service(engine, cache, transcripts, events)
    if isinstance(engine, LedgerEngine):
        poison(engine, processing, cured=Path(ledger).with_name("cured").exists())
    service = build_queue(settings, database, publish=events.publish, bell=listening_bell(settings))
    workshop = FileWorkshop(
        settings, processing, with_engine=lambda _: processing, divides=True, patient=True
    )
    worker = build_worker(
        settings, database, service, workshop, concurrency=int(concurrency), stuck=Event().set
    )

    def signalled(*_: object) -> None:
        worker.abandon() if worker.is_leaving else worker.leave()

    signal.signal(signal.SIGTERM, signalled)
    print("ready", flush=True)
    worker.run()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
