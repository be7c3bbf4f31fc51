"""What it takes to process a file, made once for many files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from stretto.contexts.core.audio import AudioFile
from stretto.contexts.core.bus import Publish
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.core.transcript import Segment, Transcript
from stretto.contexts.processing.model import (
    USUAL_RETRIES,
    ConcurrencyLimit,
    ProcessingProgress,
    ProcessingStrategy,
)
from stretto.contexts.processing.orchestrator import ParallelOrchestrator
from stretto.contexts.processing.ports import (
    AudioReader,
    Engine,
    ResultCache,
    SpeechDetector,
    TranscriptStore,
)
from stretto.contexts.processing.sizing import DynamicChunkSizer

Progressed = Callable[[ProcessingProgress], None]
Keep = Callable[[], None]
Keeping = Callable[[Transcript, Keep], None]
"""Calls what it is given to keep the transcript, in whatever transaction it likes."""
Heard = Callable[[tuple[Segment, ...]], None]
"""Is given the text while it is recognised, in its order: each time the segments that follow. One
call at a time, on whichever thread recognised them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """Ports and settings; safe to use from many threads at once."""

    reader: AudioReader
    detector: SpeechDetector
    engine: Engine
    cache: ResultCache
    transcripts: TranscriptStore
    sizer: DynamicChunkSizer
    orchestrator: ParallelOrchestrator
    concurrency: ConcurrencyLimit
    publish: Publish
    clock: Callable[[], Timestamp]
    new_id: Callable[[], TranscriptId] = field(default=TranscriptId.new)

    @property
    def retries(self) -> int:
        """How often a failed call is worth another."""
        limits = self.engine.limits
        return USUAL_RETRIES if limits.retries is None else limits.retries

    def strategy(self, file: AudioFile) -> ProcessingStrategy:
        limits = self.engine.limits
        at_once = min(self.concurrency.value, limits.concurrency or self.concurrency.value)
        concurrency = ConcurrencyLimit(at_once)
        size = self.sizer.decide(file, limits=limits, concurrency=concurrency)
        return ProcessingStrategy(
            size=size,
            concurrency=concurrency,
            retries_per_chunk=self.retries,
            shared=self.sizer.is_worth_sharing(file, size),
        )
