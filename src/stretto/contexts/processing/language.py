"""Finds out the language of a file once, from its first stretch of speech, for all its chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import (
    Grain,
    Recognition,
    RecognitionRequest,
    TranscriptionOptions,
)
from stretto.contexts.processing.chunk_processor import with_speech
from stretto.contexts.processing.model import AudioChunk, CancelToken
from stretto.contexts.processing.ports import Engine, ResultCache, SpeechDetector


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedLanguage:
    language: Language | None
    probability: float


class LanguageFinder:
    """Listens to chunks in their order until one of them tells the language.

    The engine listens to several windows of that chunk, so that thirty seconds of music, or of
    somebody testing a microphone in another language, do not decide for three hours.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        detector: SpeechDetector,
        cache: ResultCache,
        cancel: CancelToken | None = None,
    ) -> None:
        self._cancel = cancel or CancelToken()
        self._engine = engine
        self._detector = detector
        self._cache = cache

    def follow(
        self,
        chunks: Iterable[AudioChunk],
        options: TranscriptionOptions,
        found: Callable[[DetectedLanguage], None],
    ) -> Iterator[tuple[AudioChunk, TranscriptionOptions]]:
        """Each chunk with the options it is to be recognised with, one by one as they are read.

        ``found`` is told once, at the first chunk that tells its language; chunks before it are
        silent and keep the options as they were, and a silent file never tells. A chunk too short
        to decide for hours is recognised in the language of its own.
        """
        for chunk in chunks:
            if options.language is not None:
                yield chunk, options
                continue
            detected, listened = self._of_chunk(chunk, options)
            if chunk.planned.opening:
                yield listened, resolved(options, detected.language)
                continue
            if detected.language is not None:
                options = resolved(options, detected.language)
                found(detected)
            yield listened, options

    def recall(self, chunk: AudioChunk, options: TranscriptionOptions) -> DetectedLanguage | None:
        """What was found for this very chunk before; None if nobody has listened to it."""
        known = self._cache.find(self._request(chunk, options))
        return None if known is None else _detected(known)

    def _request(self, chunk: AudioChunk, options: TranscriptionOptions) -> RecognitionRequest:
        return RecognitionRequest(
            audio=chunk.audio,
            grain=Grain.LANGUAGE,
            engine=self._engine.identity,
            options=options,
            scope=options.scope,
            source=chunk.source,
        )

    def _of_chunk(
        self, chunk: AudioChunk, options: TranscriptionOptions
    ) -> tuple[DetectedLanguage, AudioChunk]:
        listened = chunk

        def listen() -> Recognition:
            nonlocal listened
            listened = with_speech(chunk, self._detector)
            language, probability = None, 0.0
            if listened.speech:
                language, probability = self._engine.detect_language(listened)
            return Recognition(language=language, language_probability=probability)

        request = self._request(chunk, options)
        answer = self._cache.compute(request, listen, cancel=self._cancel)
        return _detected(answer), listened


def _detected(recognition: Recognition) -> DetectedLanguage:
    return DetectedLanguage(
        language=recognition.language, probability=recognition.language_probability
    )


def resolved(options: TranscriptionOptions, language: Language | None) -> TranscriptionOptions:
    """The options with the language that was found; the engine may follow a change of it."""
    return options if language is None else replace(options, language=language, detected=True)
