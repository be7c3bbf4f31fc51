"""An engine of two: one says what was said, the other, on this machine, when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import EngineIdentity, Recognition, TranscriptionOptions
from stretto.contexts.processing.model import AudioChunk, CancelToken, EngineLimits
from stretto.contexts.processing.ports import Engine
from stretto.contexts.processing.word_matching import timed_by


class AlignedEngine:
    """Satisfies the Engine port. The text, and every failure, is that of ``text``; ``times`` hears
    the same chunk after it, and finds out the language."""

    def __init__(self, *, text: Engine, times: Engine) -> None:
        self._text = text
        self._times = times

    @property
    def identity(self) -> EngineIdentity:
        text, times = self._text.identity, self._times.identity
        by = (times.engine, times.engine_version, times.model, times.model_revision, times.settings)
        return replace(text, settings=f"{text.settings} aligned by {by!r}")

    @property
    def limits(self) -> EngineLimits:
        return self._text.limits

    def prepare(self) -> None:
        self._text.prepare()
        self._times.prepare()

    def detect_language(self, chunk: AudioChunk) -> tuple[Language | None, float]:
        return self._times.detect_language(chunk)

    def recognise(
        self,
        chunk: AudioChunk,
        options: TranscriptionOptions,
        *,
        cancel: CancelToken,
        report: Callable[[float], None],
    ) -> Recognition:
        said = self._text.recognise(chunk, options, cancel=cancel, report=lambda _: None)
        if all(segment.words for segment in said.segments):
            report(chunk.duration_s)
            return said
        heard = self._times.recognise(chunk, options, cancel=cancel, report=report)
        words = [word for segment in heard.segments for word in segment.words]
        return replace(said, segments=timed_by(said.segments, words))
