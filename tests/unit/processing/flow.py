"""The processing service over twins, for the tests of whole files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.processing.model import ConcurrencyLimit, EngineLimits, Samples
from stretto.contexts.processing.orchestrator import ParallelOrchestrator
from stretto.contexts.processing.service import ProcessingService
from stretto.contexts.processing.sizing import DynamicChunkSizer
from tests.fakes.audio import LoudnessDetector, MemoryReader, speechlike
from tests.fakes.clock import FakeClock
from tests.fakes.engine import MemoryEngine
from tests.fakes.result_cache import MemoryResultCache
from tests.fakes.transcript_store import MemoryTranscriptStore

TALK = Path("talk.wav")
ENGLISH = TranscriptionOptions(language=Language("en"))
TEN_SECONDS = EngineLimits(max_seconds=10.0)
"""Of an engine that takes so little, a minute already has a handful of chunks."""


def an_engine(**given: Any) -> MemoryEngine:
    return MemoryEngine(limits=TEN_SECONDS, **given)


class Studio:
    """What outlives a run (recordings, cache, transcripts), and services over it."""

    def __init__(self, recordings: Mapping[str, Samples], **reader: Any) -> None:
        self.reader = MemoryReader(recordings, block=SAMPLE_RATE_HZ, **reader)
        self.cache = MemoryResultCache()
        self.transcripts = MemoryTranscriptStore()
        self.events: list[DomainEvent] = []
        self.bus = EventBus()
        self.bus.subscribe(DomainEvent, self.events.append)
        self.clock = FakeClock()

    def service(self, engine: MemoryEngine, *, concurrency: int = 4) -> ProcessingService:
        limit = ConcurrencyLimit(concurrency)
        return ProcessingService(
            reader=self.reader,
            detector=LoudnessDetector(),
            engine=engine,
            cache=self.cache,
            transcripts=self.transcripts,
            sizer=DynamicChunkSizer(),
            orchestrator=ParallelOrchestrator(limit),
            concurrency=limit,
            publish=self.bus.publish,
            clock=self.clock,
        )

    def transcribe(
        self,
        engine: MemoryEngine,
        *,
        path: Path = TALK,
        options: TranscriptionOptions = ENGLISH,
        concurrency: int = 4,
        **given: Any,
    ) -> Transcript:
        service = self.service(engine, concurrency=concurrency)
        return service.process_file(path, options, **given)

    def kinds(self) -> list[type[DomainEvent]]:
        return [type(event) for event in self.events]


def a_talk(seconds: float = 90.0, *, seed: int = 21) -> Samples:
    return speechlike(seconds, seed=seed)


def a_quiet_room(seconds: float) -> Samples:
    noise = np.random.default_rng(1).standard_normal(round(seconds * SAMPLE_RATE_HZ))
    return (noise * 20).astype(np.int16)
