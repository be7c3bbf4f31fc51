"""Processes one chunk: answered from the cache if it can be, else by the engine, with retries."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stretto.contexts.core.audio import Span
from stretto.contexts.core.bus import Publish
from stretto.contexts.core.errors import EngineFailure, StrettoError, TransientEngineFailure
from stretto.contexts.core.events import (
    ChunkProcessingAbandoned,
    ChunkProcessingCompleted,
    ChunkProcessingFailed,
    ChunkProcessingRetried,
    ChunkProcessingStarted,
    ChunkProgressed,
)
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.core.recognition import (
    Grain,
    Recognition,
    RecognitionRequest,
    TranscriptionOptions,
)
from stretto.contexts.core.transcript import Gap, GapReason
from stretto.contexts.processing.merging import TimestampAdjuster
from stretto.contexts.processing.model import AudioChunk, CancelToken
from stretto.contexts.processing.ports import Engine, ResultCache, SpeechDetector

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOutcome:
    """What became of a chunk; ``recognition`` has a gap for everything that failed, ``failure``
    says why nothing came of the whole chunk."""

    recognition: Recognition
    from_cache: bool
    failure: EngineFailure | None = None

    @property
    def passing_failure(self) -> EngineFailure | None:
        """The failure, if the chunk may be had later."""
        return self.failure if self.failure and self.failure.retryable else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkProcessor:
    """Cache-aside around one engine call. One processor serves all chunks of one file.

    ``retries`` counts the calls after the first; ``slow_down`` is told of each transient failure.
    A chunk that was ``given_up`` for a reason, by its number, is recalled or is a gap, and never
    tried. A processor that wants it ``whole`` raises the failure of an engine.
    """

    transcript_id: TranscriptId
    engine: Engine
    detector: SpeechDetector
    cache: ResultCache
    options: TranscriptionOptions
    retries: int
    cancel: CancelToken
    publish: Publish
    clock: Callable[[], Timestamp]
    slow_down: Callable[[str], None]
    given_up: Mapping[int, str] = field(default_factory=dict)
    whole: bool = False

    def process(self, chunk: AudioChunk) -> ChunkOutcome:
        """Raises Cancelled, and whatever concerns the whole file; an engine's failure is a gap,
        unless the chunk is wanted ``whole``."""
        self.cancel.raise_if_cancelled()
        started = self.clock()
        self.publish(
            ChunkProcessingStarted(
                at=started,
                transcript_id=self.transcript_id,
                chunk_id=chunk.id,
                start_s=chunk.span.start_s,
                end_s=chunk.span.end_s,
            )
        )
        try:
            outcome = self._outcome(chunk)
        except BaseException:  # whoever counts what is worked on has to hear of every end
            self.publish(
                ChunkProcessingAbandoned(
                    at=self.clock(), transcript_id=self.transcript_id, chunk_id=chunk.id
                )
            )
            raise
        finished = self.clock()
        self.publish(
            ChunkProcessingCompleted(
                at=finished,
                transcript_id=self.transcript_id,
                chunk_id=chunk.id,
                segments=TimestampAdjuster(chunk.span).segments(outcome.recognition.segments),
                duration_ms=round((finished.unix_s - started.unix_s) * 1000),
                from_cache=outcome.from_cache,
            )
        )
        return outcome

    def _outcome(self, chunk: AudioChunk) -> ChunkOutcome:
        request = chunk_request(chunk, engine=self.engine, options=self.options)
        computed_here, listened = False, chunk
        reason = self.given_up.get(chunk.planned.index)
        if reason is not None and self.cache.find(request) is None:
            unheard = replace(chunk, speech=(Span(0, len(chunk.span)),))
            return ChunkOutcome(
                recognition=self._failed(unheard, EngineFailure(reason)), from_cache=False
            )

        def work() -> Recognition:
            nonlocal computed_here, listened
            computed_here, listened = True, with_speech(listened, self.detector)
            return self._recognise(listened) if listened.speech else Recognition()

        try:
            recognition = self.cache.compute(request, work, cancel=self.cancel)
        except EngineFailure as failure:
            if self.whole:
                raise
            recognition = self._failed(listened, failure)
            return ChunkOutcome(recognition=recognition, from_cache=False, failure=failure)
        if not computed_here:
            recognition = replace(recognition, recalled_s=chunk.duration_s)
        return ChunkOutcome(recognition=recognition, from_cache=not computed_here)

    def _recognise(self, chunk: AudioChunk) -> Recognition:
        for attempt in range(1, self.retries + 1):
            try:
                return self._call(chunk)
            except StrettoError as failure:
                if not failure.retryable or not isinstance(failure, EngineFailure):
                    raise
                self._wait_before_retry(chunk, attempt, failure)
        return self._call(chunk)

    def _call(self, chunk: AudioChunk) -> Recognition:
        return self.engine.recognise(
            chunk,
            self.options,
            cancel=self.cancel,
            report=lambda done_s: self._progressed(chunk, done_s),
        )

    def _wait_before_retry(self, chunk: AudioChunk, attempt: int, failure: EngineFailure) -> None:
        # Full jitter: Brooker, "Exponential Backoff And Jitter", AWS 2015.
        ceiling = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2**attempt)
        delay_s = random.uniform(0, ceiling)  # noqa: S311 - no secret depends on it
        self.slow_down(failure.message)
        self.publish(
            ChunkProcessingRetried(
                at=self.clock(),
                transcript_id=self.transcript_id,
                chunk_id=chunk.id,
                attempt=attempt,
                delay_s=delay_s,
                reason=failure.message,
            )
        )
        self.cancel.wait(delay_s)
        self.cancel.raise_if_cancelled()

    def _failed(self, chunk: AudioChunk, failure: EngineFailure) -> Recognition:
        self.publish(
            ChunkProcessingFailed(
                at=self.clock(),
                transcript_id=self.transcript_id,
                chunk_id=chunk.id,
                reason=failure.message,
            )
        )
        return Recognition(
            speech_s=chunk.speech_s,
            gaps=tuple(
                Gap(
                    start=span.start_s,
                    end=span.end_s,
                    reason=GapReason.ENGINE_FAILED,
                    detail=failure.message,
                )
                for span in _outer(chunk.speech or ())
            ),
        )

    def _progressed(self, chunk: AudioChunk, done_s: float) -> None:
        self.publish(
            ChunkProgressed(
                at=self.clock(),
                transcript_id=self.transcript_id,
                chunk_id=chunk.id,
                done_s=done_s,
            )
        )


def chunk_request(
    chunk: AudioChunk, *, engine: Engine, options: TranscriptionOptions
) -> RecognitionRequest:
    return RecognitionRequest(
        audio=chunk.audio,
        grain=Grain.CHUNK,
        engine=engine.identity,
        options=options,
        scope=options.scope,
        source=chunk.source,
    )


def not_yet(failures: Sequence[EngineFailure], *, of: int) -> TransientEngineFailure:
    """Some ``of`` the chunks of a file failed in a way that may pass; the others are done."""
    wait = "waits" if len(failures) == 1 else "wait"
    first = failures[0]
    error = TransientEngineFailure(
        f"{len(failures)} of {of} chunks {wait} to be tried again. {first.message}"
    )
    error.__cause__ = first
    return error


def with_speech(chunk: AudioChunk, detector: SpeechDetector) -> AudioChunk:
    """The chunk with its speech found, unless somebody has looked already."""
    if chunk.speech is not None:
        return chunk
    return replace(chunk, speech=detector.find(chunk.samples))


def _outer(speech: tuple[Span, ...]) -> list[Span]:
    """One span from the first to the last speech: the gap of a chunk that failed as a whole."""
    return [Span(speech[0].start, speech[-1].end)] if speech else []
