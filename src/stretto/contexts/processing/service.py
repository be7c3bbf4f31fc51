"""The processing service: one file in, one transcript out, by way of its chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, AudioFile
from stretto.contexts.core.bus import Publish
from stretto.contexts.core.errors import Cancelled, Unavailable
from stretto.contexts.core.events import (
    ChunkProgressed,
    ChunkSizeChosen,
    DomainEvent,
    FellBackToSequential,
    FileProcessingCancelled,
    FileProcessingCompleted,
    FileProcessingFailed,
    FileProcessingStarted,
    LanguageDetected,
    TranscriptRecalled,
)
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.core.recognition import TranscriptionOptions, TranscriptRequest
from stretto.contexts.core.transcript import (
    CacheUse,
    Gap,
    GapReason,
    Transcript,
    TranscriptNotKept,
)
from stretto.contexts.processing.chunk_processor import (
    ChunkOutcome,
    ChunkProcessor,
    chunk_request,
)
from stretto.contexts.processing.cutting import cut
from stretto.contexts.processing.language import DetectedLanguage, LanguageFinder, resolved
from stretto.contexts.processing.merging import MergedResult, ResultMerger
from stretto.contexts.processing.model import (
    USUAL_RETRIES,
    AudioChunk,
    CancelToken,
    ConcurrencyLimit,
    DecodedAudio,
    PlannedChunk,
    PlanReport,
    ProcessingProgress,
    ProcessingStrategy,
)
from stretto.contexts.processing.orchestrator import ParallelOrchestrator
from stretto.contexts.processing.planning import ChunkPlanner
from stretto.contexts.processing.ports import (
    AudioReader,
    AudioStream,
    Engine,
    ResultCache,
    SpeechDetector,
    TranscriptStore,
)
from stretto.contexts.processing.progress import ProgressTracker
from stretto.contexts.processing.sizing import DynamicChunkSizer

Progressed = Callable[[ProcessingProgress], None]
Keep = Callable[[], None]
Keeping = Callable[[Transcript, Keep], None]
"""Calls what it is given to keep the transcript, in whatever transaction it likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingService:
    """Everything it needs is passed in; one service serves many files and many threads."""

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

    def process_file(
        self,
        path: Path,
        options: TranscriptionOptions,
        *,
        stream: int | None = None,
        again: bool = False,
        cancel: CancelToken | None = None,
        progressed: Progressed | None = None,
        keeping: Keeping | None = None,
    ) -> Transcript:
        """Transcribe ``path``, or return what was kept for the same file, engine and options.

        ``again`` transcribes even what is known as a whole; ``keeping`` may keep the transcript
        together with something else, or refuse to by raising. Raises UnusableMedia, Unavailable,
        Cancelled, and TranscriptNotKept with the transcript in it; an engine's failure on a chunk
        makes the transcript partial instead.
        """
        file = self.reader.probe(path, stream=stream)
        request = TranscriptRequest(
            file_hash=file.file_hash,
            stream_index=file.stream_index,
            engine=self.engine.identity,
            options=options,
        )
        known = None if again else self.transcripts.find(request)
        if known is not None:
            return self._recall(known, file, progressed)
        run = _Run(self, file, options, cancel or CancelToken(), progressed)
        transcript = run.transcribe()

        def keep() -> None:
            self.transcripts.keep(request, transcript, file=file)

        try:
            keeping(transcript, keep) if keeping else keep()
        except Unavailable as cause:
            raise TranscriptNotKept(cause.message, transcript) from cause
        run.completed(transcript)
        return transcript

    def _recall(
        self, known: Transcript, file: AudioFile, progressed: Progressed | None
    ) -> Transcript:
        self.publish(TranscriptRecalled(at=self.clock(), transcript_id=known.id))
        ProgressTracker(known.duration_s, progressed).finish_at_once(known)
        return _recalled(known, file)

    def plan_file(
        self, path: Path, options: TranscriptionOptions, *, stream: int | None = None
    ) -> PlanReport:
        """What ``process_file`` would do: decodes the file, transcribes nothing."""
        file = self.reader.probe(path, stream=stream)
        strategy = self.strategy(file)
        decoded = self.reader.open(file)
        finder = LanguageFinder(engine=self.engine, detector=self.detector, cache=self.cache)
        chunks: list[PlannedChunk] = []
        cached: list[bool] = []
        to_do_s = 0.0
        for chunk in cut(decoded, ChunkPlanner(strategy.size)):
            if options.language is None and (found := finder.recall(chunk, options)):
                options = resolved(options, found.language)
            request = chunk_request(chunk, engine=self.engine, options=options)
            known = self.cache.find(request) is not None
            chunks.append(chunk.planned)
            cached.append(known)
            to_do_s += 0.0 if known else chunk.duration_s
        speed = self.transcripts.speed(self.engine.identity) or self.engine.limits.speed
        return PlanReport(
            file=file,
            strategy=strategy,
            chunks=tuple(chunks),
            cached=tuple(cached),
            duration_s=chunks[-1].span.end_s if chunks else 0.0,
            estimated_s=to_do_s / speed if speed else None,
        )

    def strategy(self, file: AudioFile) -> ProcessingStrategy:
        limits = self.engine.limits
        at_once = min(self.concurrency.value, limits.concurrency or self.concurrency.value)
        concurrency = ConcurrencyLimit(at_once)
        size = self.sizer.decide(file, limits=limits, concurrency=concurrency)
        retries = USUAL_RETRIES if limits.retries is None else limits.retries
        return ProcessingStrategy(size=size, concurrency=concurrency, retries_per_chunk=retries)


class _Run:
    """One file on its way through the service."""

    def __init__(
        self,
        service: ProcessingService,
        file: AudioFile,
        options: TranscriptionOptions,
        cancel: CancelToken,
        progressed: Progressed | None,
    ) -> None:
        self._service = service
        self._file = file
        self._options = options
        self._cancel = cancel
        self._id = service.new_id()
        self._started = service.clock()
        self._tracker = ProgressTracker(file.claimed_duration_s, progressed)
        self._merger = ResultMerger()
        self._hits = self._misses = 0
        self._recalled_s = 0.0
        self._stood_in: dict[int, str] = {}

    def transcribe(self) -> Transcript:
        service, now = self._service, self._started
        self._publish(
            FileProcessingStarted(
                at=now,
                transcript_id=self._id,
                file=self._file.path.name,
                claimed_duration_s=self._file.claimed_duration_s,
            )
        )
        strategy = service.strategy(self._file)
        size = strategy.size
        self._publish(
            ChunkSizeChosen(
                at=now,
                transcript_id=self._id,
                target_bytes=size.target.bytes,
                reason=size.reason,
            )
        )
        try:
            decoded = service.reader.open(self._file)
            self._process(cut(decoded, ChunkPlanner(size)), decoded, strategy)
            self._cancel.raise_if_cancelled()
            return self._transcript(self._merger.merge(), decoded.outcome())
        except (Cancelled, KeyboardInterrupt):
            self._publish(FileProcessingCancelled(at=service.clock(), transcript_id=self._id))
            raise
        except Exception as error:
            self._publish(
                FileProcessingFailed(
                    at=service.clock(), transcript_id=self._id, reason=str(error) or repr(error)
                )
            )
            raise

    def _process(
        self, chunks: Iterator[AudioChunk], decoded: AudioStream, strategy: ProcessingStrategy
    ) -> None:
        service = self._service
        options = self._options
        finder = LanguageFinder(
            engine=service.engine,
            detector=service.detector,
            cache=service.cache,
            cancel=self._cancel,
        )
        processor = ChunkProcessor(
            transcript_id=self._id,
            engine=service.engine,
            detector=service.detector,
            cache=service.cache,
            options=options,
            retries=strategy.retries_per_chunk,
            cancel=self._cancel,
            publish=self._publish,
            clock=service.clock,
            slow_down=self._slow_down,
        )
        service.orchestrator.run(
            finder.follow(self._tracked(chunks, decoded), options, self._language_found),
            lambda task: replace(processor, options=task[1]).process(task[0]),
            cancel=self._cancel,
            done=lambda task, outcome: self._done(task[0], outcome),
            sequential=self._sequential,
            at_once=strategy.concurrency,
        )

    def _tracked(self, chunks: Iterator[AudioChunk], decoded: AudioStream) -> Iterator[AudioChunk]:
        for chunk in chunks:
            self._cancel.raise_if_cancelled()
            self._tracker.planned(chunk.planned)
            yield replace(chunk, source=self._file.file_hash)
        self._tracker.decoded(decoded.outcome().samples / SAMPLE_RATE_HZ)

    def _language_found(self, found: DetectedLanguage) -> None:
        self._publish(
            LanguageDetected(
                at=self._service.clock(),
                transcript_id=self._id,
                language=str(found.language),
                probability=found.probability,
            )
        )

    def _done(self, chunk: AudioChunk, outcome: ChunkOutcome) -> None:
        self._merger.add(chunk.planned, outcome.recognition)
        self._tracker.finished(chunk.id, chunk.duration_s)
        self._recalled_s += outcome.recognition.recalled_s
        if outcome.recognition.answered_by:
            self._stood_in[chunk.span.start] = _stood_in(chunk, outcome.recognition.answered_by)
        if outcome.from_cache:
            self._hits += 1
        else:
            self._misses += 1

    def _slow_down(self, reason: str) -> None:
        if self._service.orchestrator.slow_down() == 1:
            self._sequential(reason)

    def _sequential(self, reason: str) -> None:
        self._publish(
            FellBackToSequential(at=self._service.clock(), transcript_id=self._id, reason=reason)
        )

    def _publish(self, event: DomainEvent) -> None:
        if isinstance(event, ChunkProgressed):
            self._tracker.progressed(event.chunk_id, event.done_s)
        self._service.publish(event)

    def _transcript(self, merged: MergedResult, decoded: DecodedAudio) -> Transcript:
        now = self._service.clock()
        gaps = (*merged.coverage.gaps, *_gaps_of_the_file(decoded))
        return Transcript(
            id=self._id,
            file=self._file.path.name,
            file_hash=self._file.file_hash,
            language=merged.language or self._options.language,
            duration_s=decoded.samples / SAMPLE_RATE_HZ,
            segments=merged.segments,
            coverage=replace(
                merged.coverage, gaps=tuple(sorted(gaps, key=lambda g: (g.start, g.end)))
            ),
            engine=self._service.engine.identity.engine,
            model=self._service.engine.identity.model,
            seams=merged.seams,
            cache=CacheUse(hits=self._hits, misses=self._misses, recalled_s=self._recalled_s),
            warnings=(*decoded.warnings, *(self._stood_in[at] for at in sorted(self._stood_in))),
            created_at=now,
            processing_s=now.unix_s - self._started.unix_s,
        )

    def completed(self, transcript: Transcript) -> None:
        """Said only after the transcript was kept."""
        now = self._service.clock()
        self._publish(
            FileProcessingCompleted(
                at=now,
                transcript_id=self._id,
                status=transcript.status,
                total_chunks=self._hits + self._misses,
                total_duration_ms=round((now.unix_s - self._started.unix_s) * 1000),
            )
        )


def _stood_in(chunk: AudioChunk, engine: str) -> str:
    """Said of a chunk, so that whoever reads the transcript knows who heard what."""
    start_s, end_s = chunk.span.start_s, chunk.span.end_s
    return f"From {start_s:.0f} s to {end_s:.0f} s it was transcribed by {engine} instead."


def _gaps_of_the_file(decoded: DecodedAudio) -> list[Gap]:
    """What the file itself does not give out: places that cannot be decoded, and a missing end."""
    gaps = [
        Gap(start=span.start_s, end=span.end_s, reason=GapReason.UNREADABLE_AUDIO)
        for span in decoded.unreadable
    ]
    if decoded.cut_off:
        end_s = decoded.samples / SAMPLE_RATE_HZ
        promised_s = max(end_s, decoded.promised_s or 0.0)
        gaps.append(Gap(start=end_s, end=promised_s, reason=GapReason.END_MISSING))
    return gaps


def _recalled(transcript: Transcript, file: AudioFile) -> Transcript:
    """A kept transcript, under the name the file has now; every chunk counts as a hit."""
    chunks = transcript.cache.hits + transcript.cache.misses
    return replace(
        transcript,
        file=file.path.name,
        cache=CacheUse(hits=chunks, recalled_s=transcript.duration_s),
    )
