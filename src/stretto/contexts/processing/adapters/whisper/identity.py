"""Who the engine is and what it takes: all that is asked of it while nothing has to be heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stretto.contexts.core.recognition import EngineIdentity
from stretto.contexts.processing.adapters.whisper import quality
from stretto.contexts.processing.adapters.whisper.runtime import Device, LazyRuntime
from stretto.contexts.processing.model import EngineLimits

DECODING_REVISION: Final = 4
"""Counts changes of the decoding code that change its text."""


class WhisperIdentity:
    """The part of the Engine port that is answered without loading a model, nor numpy."""

    def __init__(
        self, runtime: LazyRuntime, *, model: str, revision: Callable[[], str], version: str
    ) -> None:
        self._runtime = runtime
        self._model = model
        self._revision = revision
        self._version = version
        self._identity: EngineIdentity | None = None

    @property
    def identity(self) -> EngineIdentity:
        if self._identity is None:
            self._identity = EngineIdentity(
                engine="whisper",
                engine_version=self._version,
                model=self._model,
                model_revision=self._revision(),
                settings=decoding_settings(self._runtime.device),
            )
        return self._identity

    @property
    def limits(self) -> EngineLimits:
        # One chunk for each decoder, and one whose speech is being looked for meanwhile.
        return EngineLimits(concurrency=self._runtime.device.workers + 1, calls_are_free=True)


def decoding_settings(device: Device) -> str:
    """Everything that shapes the text besides the weights, in one line for the cache key."""
    gate = (
        quality.HIGHEST_COMPRESSION,
        quality.LOWEST_LOG_PROBABILITY,
        quality.MOST_TOKENS_PER_SECOND,
        quality.FEWEST_TOKENS_PER_SECOND,
    )
    parts = (DECODING_REVISION, device.runtime, device.compute_type, gate)
    return repr(parts)
