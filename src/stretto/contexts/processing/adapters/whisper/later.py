"""The engine for those who may not need it: a recording that is known is recalled without it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import EngineIdentity, Recognition, TranscriptionOptions
from stretto.contexts.processing.adapters.whisper.identity import WhisperIdentity
from stretto.contexts.processing.model import AudioChunk, CancelToken, EngineLimits
from stretto.contexts.processing.ports import Engine


class LaterEngine:
    """Satisfies the Engine port; ``make`` imports and makes the engine when something is to be
    heard."""

    def __init__(self, known: WhisperIdentity, *, make: Callable[[], Engine]) -> None:
        self._known = known
        self._make = make
        self._made: Engine | None = None
        self._lock = Lock()

    @property
    def identity(self) -> EngineIdentity:
        return self._known.identity

    @property
    def limits(self) -> EngineLimits:
        return self._known.limits

    def prepare(self) -> None:
        self.made().prepare()

    def detect_language(self, chunk: AudioChunk) -> tuple[Language | None, float]:
        return self.made().detect_language(chunk)

    def recognise(
        self,
        chunk: AudioChunk,
        options: TranscriptionOptions,
        *,
        cancel: CancelToken,
        report: Callable[[float], None],
    ) -> Recognition:
        return self.made().recognise(chunk, options, cancel=cancel, report=report)

    def made(self) -> Engine:
        with self._lock:  # two would load the model twice
            if self._made is None:
                self._made = self._make()
            return self._made
