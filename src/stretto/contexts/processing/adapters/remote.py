"""Engines that are services over the network: ``cloudru``, and ``openai`` for any server that
speaks that interface."""

from __future__ import annotations

from collections.abc import Callable

from stretto.contexts.core.errors import Cancelled
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import EngineIdentity, Recognition, TranscriptionOptions
from stretto.contexts.processing.model import AudioChunk, CancelToken, EngineLimits
from stretto.contexts.processing.ports import Engine, EngineConfiguration, SpeechService


class RemoteEngine:
    """Satisfies the Engine port: one chunk is one call. The service is asked again inside the call
    where that is worth it, so nobody else has to."""

    def __init__(self, service: SpeechService) -> None:
        self._service = service

    @property
    def identity(self) -> EngineIdentity:
        return self._service.identity

    @property
    def limits(self) -> EngineLimits:
        return EngineLimits(
            max_bytes=self._service.maximum_bytes,
            max_seconds=self._service.maximum_s,
            concurrency=self._service.concurrency,
            retries=0,
        )

    def prepare(self) -> None:
        """A connection takes less time than reading the first chunk."""

    def detect_language(self, chunk: AudioChunk) -> tuple[Language | None, float]:
        """The service finds out by itself, with the text, and most do not say what they found."""
        return None, 0.0

    def recognise(
        self,
        chunk: AudioChunk,
        options: TranscriptionOptions,
        *,
        cancel: CancelToken,
        report: Callable[[float], None],
    ) -> Recognition:
        if cancel.cancelled:
            raise Cancelled
        if not chunk.speech:
            return Recognition()
        recognition = self._service.transcribe(
            chunk.samples.data,
            options,
            audio=chunk.audio,
            speech=chunk.speech,
            cancel=cancel,
            tenant=options.scope,
            # A long recording does not keep a short one waiting until it is done.
            recording=chunk.source.value if chunk.source else "",
        )
        report(chunk.duration_s)
        return recognition


def create_cloudru(configuration: EngineConfiguration) -> Engine:
    """The entry point ``cloudru``. Connects to nothing yet. Raises EngineUnavailable."""
    return RemoteEngine(configuration.remote("cloudru", configuration.model))


def create_openai(configuration: EngineConfiguration) -> Engine:
    """The entry point ``openai``. Connects to nothing yet. Raises EngineUnavailable."""
    return RemoteEngine(configuration.remote("openai", configuration.model))
