"""The in-memory twin of the engine: its text comes from the samples, its troubles to order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from threading import Event, Lock

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.errors import Cancelled, EngineFailure, TransientEngineFailure
from stretto.contexts.core.identifiers import AudioHash, Language
from stretto.contexts.core.recognition import (
    EngineIdentity,
    Grain,
    Recognition,
    RecognitionRequest,
    TranscriptionOptions,
)
from stretto.contexts.core.transcript import Segment, Word
from stretto.contexts.processing.model import AudioChunk, CancelToken, EngineLimits
from stretto.contexts.processing.ports import ResultCache
from stretto.contexts.processing.windows import lay_windows

ENGLISH = Language("en")
WINDOW = 20 * SAMPLE_RATE_HZ
PATIENCE_S = 20.0
"""How long a held call waits for its release before the test is given up."""

A_TWIN = EngineIdentity(
    engine="memory", engine_version="1", model="twin", model_revision="r1", settings=""
)


class MemoryEngine:
    """One segment for each window with speech; equal audio gives equal text.

    ``transient_failures`` fail the next so many calls, ``fails_at`` (chunk indices) fail for good,
    ``broken_by`` is raised as it is. Calls that find ``released`` unset wait for it or for a
    cancel; ``entered`` tells that a call has begun. ``cancels_after`` cancels the whole run once
    so many chunks were recognised.
    """

    def __init__(
        self,
        *,
        identity: EngineIdentity = A_TWIN,
        limits: EngineLimits | None = None,
        language: Language | None = ENGLISH,
        cache: ResultCache | None = None,
        transient_failures: int = 0,
        fails_at: frozenset[int] = frozenset(),
        broken_by: BaseException | None = None,
        cancels_after: int | None = None,
        held: bool = False,
    ) -> None:
        self.identity = identity
        self.limits = limits or EngineLimits()
        self.language = language
        self.transient_failures = transient_failures
        self.fails_at = fails_at
        self.broken_by = broken_by
        self.cancels_after = cancels_after
        self.entered, self.released, self.prepared = Event(), Event(), Event()
        if not held:
            self.released.set()
        self.calls = self.finished = self.languages_asked = 0
        self.heard: list[AudioHash] = []
        self.windows_computed = 0
        self.audio_s = 0.0
        self.at_once = self.most_at_once = 0
        self._cache = cache
        self._lock = Lock()

    def prepare(self) -> None:
        self.prepared.set()

    def detect_language(self, chunk: AudioChunk) -> tuple[Language | None, float]:
        with self._lock:
            self.languages_asked += 1
        found = self.language if chunk.speech else None
        return found, 0.0 if found is None else 0.9

    def recognise(
        self,
        chunk: AudioChunk,
        options: TranscriptionOptions,
        *,
        cancel: CancelToken,
        report: Callable[[float], None],
    ) -> Recognition:
        self._enter(chunk)
        try:
            self._suffer(chunk, cancel)
            recognition = self._recognised(chunk, options, cancel, report)
        finally:
            with self._lock:
                self.at_once -= 1
        self._finished(cancel)
        return recognition

    def _enter(self, chunk: AudioChunk) -> None:
        with self._lock:
            self.calls += 1
            self.heard.append(chunk.audio)
            self.audio_s += chunk.duration_s
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.entered.set()

    def _suffer(self, chunk: AudioChunk, cancel: CancelToken) -> None:
        for _ in range(int(PATIENCE_S / 0.01)):
            cancel.raise_if_cancelled()
            if self.released.wait(0.01):
                break
        else:
            raise AssertionError("nobody released the engine")
        with self._lock:
            stumbles = self.transient_failures > 0
            self.transient_failures -= stumbles
        if stumbles:
            raise TransientEngineFailure("The twin stumbled.")
        if chunk.planned.index in self.fails_at:
            raise EngineFailure("The twin gave up.")
        if self.broken_by is not None:
            raise self.broken_by

    def _recognised(
        self,
        chunk: AudioChunk,
        options: TranscriptionOptions,
        cancel: CancelToken,
        report: Callable[[float], None],
    ) -> Recognition:
        segments, speech_s, recalled_s = [], 0.0, 0.0
        for window in lay_windows(chunk, WINDOW):
            cancel.raise_if_cancelled()
            heard = [s for s in chunk.speech or () if s.start < window.end and s.end > window.start]
            if heard:
                segment, recalled = self._segment(chunk, window, options)
                segments.append(segment)
                recalled_s += window.duration_s if recalled else 0.0
                speech_s += sum(
                    Span(max(s.start, window.start), min(s.end, window.end)).duration_s
                    for s in heard
                )
            report(window.end_s)
        return Recognition(
            segments=tuple(segments),
            language=options.language or self.language if segments else None,
            speech_s=speech_s,
            transcribed_s=speech_s,
            recalled_s=recalled_s,
        )

    def _segment(
        self, chunk: AudioChunk, window: Span, options: TranscriptionOptions
    ) -> tuple[Segment, bool]:
        """What was said in a window, and whether it was known before."""
        samples = chunk.samples[window.start : window.end]
        digest = hashlib.sha256(samples.tobytes()).hexdigest()
        request = RecognitionRequest(
            audio=AudioHash(digest), grain=Grain.WINDOW, engine=self.identity, options=options
        )
        known = None if self._cache is None else self._cache.find(request)
        recalled = known is not None
        if known is None:
            with self._lock:
                self.windows_computed += 1
            known = Recognition(segments=(_said(digest, window.duration_s),))
            if self._cache is not None:
                self._cache.keep(request, known)
        return _moved(known.segments[0], window.start_s), recalled

    def _finished(self, cancel: CancelToken) -> None:
        with self._lock:
            if self.cancels_after is not None and self.finished >= self.cancels_after:
                cancel.cancel()
                raise Cancelled
            self.finished += 1


def _said(digest: str, duration_s: float) -> Segment:
    word = Word(start=0.0, end=duration_s, text=digest[:8], probability=0.9)
    return Segment(start=0.0, end=duration_s, text=digest[:8], words=(word,))


def _moved(segment: Segment, seconds: float) -> Segment:
    words = tuple(replace(w, start=w.start + seconds, end=w.end + seconds) for w in segment.words)
    return replace(segment, start=segment.start + seconds, end=segment.end + seconds, words=words)
