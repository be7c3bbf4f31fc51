"""One file on its way from its first sample to its transcript, by way of its chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Event, Lock
from typing import Final

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, AudioFile
from stretto.contexts.core.errors import Cancelled, EngineFailure
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
)
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.core.transcript import CacheUse, Gap, GapReason, Transcript
from stretto.contexts.processing.chunk_processor import (
    ChunkOutcome,
    ChunkProcessor,
    chunk_request,
    not_yet,
)
from stretto.contexts.processing.cutting import cut
from stretto.contexts.processing.equipment import Equipment, Heard, Progressed
from stretto.contexts.processing.language import DetectedLanguage, LanguageFinder, resolved
from stretto.contexts.processing.merging import MergedResult, ResultMerger
from stretto.contexts.processing.model import (
    AudioChunk,
    CancelToken,
    DecodedAudio,
    PlannedChunk,
    PlanReport,
    ProcessingStrategy,
    SharedOut,
)
from stretto.contexts.processing.planning import ChunkPlanner
from stretto.contexts.processing.ports import AudioStream
from stretto.contexts.processing.progress import ProgressTracker

CANCEL_LOOKED_AT_EVERY_S: Final = 0.1


class Run:
    """One file on its way; the service looks before whether that is needed."""

    def __init__(
        self,
        means: Equipment,
        file: AudioFile,
        options: TranscriptionOptions,
        cancel: CancelToken,
        progressed: Progressed | None,
        heard: Heard | None,
        shared: SharedOut | None = None,
        *,
        patient: bool = False,
    ) -> None:
        self._means = means
        self._shared = shared
        self._patient = patient
        self._file = file
        self._options = options
        self._cancel = cancel
        self._id = means.new_id()
        self._started = means.clock()
        self._tracker = ProgressTracker(file.claimed_duration_s, progressed)
        self._merger = ResultMerger()
        self._heard = heard
        self._handing_on = Lock()
        self._opened = Event()
        self._hits = self._misses = 0
        self._recalled_s = 0.0
        self._stood_in: dict[int, str] = {}
        self._put_off: list[EngineFailure] = []

    def transcribe(self) -> Transcript:
        means, now = self._means, self._started
        self._publish(
            FileProcessingStarted(
                at=now,
                transcript_id=self._id,
                file=self._file.path.name,
                claimed_duration_s=self._file.claimed_duration_s,
            )
        )
        strategy = means.strategy(self._file)
        size = self._shared.size if self._shared else strategy.size
        self._publish(
            ChunkSizeChosen(
                at=now,
                transcript_id=self._id,
                target_bytes=size.target.bytes,
                reason=size.reason,
            )
        )
        try:
            decoded = means.reader.open(self._file)
            self._process(cut(decoded, ChunkPlanner(size)), decoded, strategy)
            self._cancel.raise_if_cancelled()
            self._raise_if_put_off()
            return self._transcript(self._merger.merge(), decoded.outcome())
        except (Cancelled, KeyboardInterrupt):
            self._publish(FileProcessingCancelled(at=means.clock(), transcript_id=self._id))
            raise
        except Exception as error:
            self._publish(
                FileProcessingFailed(
                    at=means.clock(), transcript_id=self._id, reason=str(error) or repr(error)
                )
            )
            raise

    def _process(
        self, chunks: Iterator[AudioChunk], decoded: AudioStream, strategy: ProcessingStrategy
    ) -> None:
        means = self._means
        options = self._options
        finder = LanguageFinder(
            engine=means.engine,
            detector=means.detector,
            cache=means.cache,
            cancel=self._cancel,
        )
        processor = ChunkProcessor(
            transcript_id=self._id,
            engine=means.engine,
            detector=means.detector,
            cache=means.cache,
            options=options,
            retries=strategy.retries_per_chunk,
            cancel=self._cancel,
            publish=self._publish,
            clock=means.clock,
            slow_down=self._slow_down,
            given_up=self._shared.given_up if self._shared else {},
        )
        means.orchestrator.run(
            finder.follow(self._tracked(chunks, decoded), options, self._language_found),
            lambda task: self._processed(task[0], replace(processor, options=task[1])),
            cancel=self._cancel,
            done=lambda task, outcome: self._done(task[0], outcome),
            sequential=self._sequential,
            at_once=strategy.concurrency,
        )

    def _processed(self, chunk: AudioChunk, processor: ChunkProcessor) -> ChunkOutcome:
        """On the thread that worked on the chunk: the calling one may be deep in the next."""
        try:
            outcome = processor.process(chunk)
            if self._patient and outcome.passing_failure:
                return outcome  # and no text that follows is handed on
            with self._handing_on:
                self._merger.add(chunk.planned, outcome.recognition)
                if self._heard and (segments := self._merger.hand_on()):
                    self._heard(segments)
            return outcome
        finally:
            self._opened.set()

    def _tracked(self, chunks: Iterator[AudioChunk], decoded: AudioStream) -> Iterator[AudioChunk]:
        after_opening = False
        for chunk in chunks:
            self._cancel.raise_if_cancelled()
            self._tracker.planned(chunk.planned)
            while after_opening and not self._opened.wait(CANCEL_LOOKED_AT_EVERY_S):
                self._cancel.raise_if_cancelled()  # meanwhile all cores are for the first words
            after_opening = chunk.planned.opening and self._heard is not None
            yield replace(chunk, source=self._file.file_hash)
        self._tracker.decoded(decoded.outcome().samples / SAMPLE_RATE_HZ)

    def _language_found(self, found: DetectedLanguage) -> None:
        self._publish(
            LanguageDetected(
                at=self._means.clock(),
                transcript_id=self._id,
                language=str(found.language),
                probability=found.probability,
            )
        )

    def _raise_if_put_off(self) -> None:
        """Everything else is done by now, and its answers are in the cache."""
        if self._put_off:
            raise not_yet(self._put_off, of=len(self._put_off) + self._hits + self._misses)

    def _done(self, chunk: AudioChunk, outcome: ChunkOutcome) -> None:
        if self._patient and (failure := outcome.passing_failure):
            self._put_off.append(failure)
            return
        self._tracker.finished(chunk.id, chunk.duration_s)
        self._recalled_s += outcome.recognition.recalled_s
        if outcome.recognition.answered_by:
            self._stood_in[chunk.span.start] = _stood_in(chunk, outcome.recognition.answered_by)
        if outcome.from_cache:
            self._hits += 1
        else:
            self._misses += 1

    def _slow_down(self, reason: str) -> None:
        if self._means.orchestrator.slow_down() == 1:
            self._sequential(reason)

    def _sequential(self, reason: str) -> None:
        self._publish(
            FellBackToSequential(at=self._means.clock(), transcript_id=self._id, reason=reason)
        )

    def _publish(self, event: DomainEvent) -> None:
        if isinstance(event, ChunkProgressed):
            self._tracker.progressed(event.chunk_id, event.done_s)
        self._means.publish(event)

    def _transcript(self, merged: MergedResult, decoded: DecodedAudio) -> Transcript:
        now = self._means.clock()
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
            engine=self._means.engine.identity.engine,
            model=self._means.engine.identity.model,
            seams=merged.seams,
            cache=CacheUse(hits=self._hits, misses=self._misses, recalled_s=self._recalled_s),
            warnings=(*decoded.warnings, *(self._stood_in[at] for at in sorted(self._stood_in))),
            created_at=now,
            processing_s=now.unix_s - self._started.unix_s,
        )

    def completed(self, transcript: Transcript) -> None:
        """Said only after the transcript was kept."""
        now = self._means.clock()
        self._publish(
            FileProcessingCompleted(
                at=now,
                transcript_id=self._id,
                status=transcript.status,
                total_chunks=self._hits + self._misses,
                total_duration_ms=round((now.unix_s - self._started.unix_s) * 1000),
            )
        )


def plan(means: Equipment, file: AudioFile, options: TranscriptionOptions) -> PlanReport:
    """What a run would do: decodes the file, transcribes nothing."""
    strategy = means.strategy(file)
    decoded = means.reader.open(file)
    finder = LanguageFinder(engine=means.engine, detector=means.detector, cache=means.cache)
    chunks: list[PlannedChunk] = []
    cached: list[bool] = []
    to_do_s = 0.0
    for chunk in cut(decoded, ChunkPlanner(strategy.size)):
        with_language = options
        if options.language is None and (found := finder.recall(chunk, options)):
            with_language = resolved(options, found.language)
            options = options if chunk.planned.opening else with_language
        request = chunk_request(chunk, engine=means.engine, options=with_language)
        known = means.cache.find(request) is not None
        chunks.append(chunk.planned)
        cached.append(known)
        to_do_s += 0.0 if known else chunk.duration_s
    speed = means.transcripts.speed(means.engine.identity) or means.engine.limits.speed
    return PlanReport(
        file=file,
        strategy=strategy,
        chunks=tuple(chunks),
        cached=tuple(cached),
        duration_s=chunks[-1].span.end_s if chunks else 0.0,
        estimated_s=to_do_s / speed if speed else None,
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
