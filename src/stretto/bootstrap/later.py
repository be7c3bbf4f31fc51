"""What is not needed for a recording that is known is put together, and imported, at its first
use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import util
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stretto.bootstrap.caching import Caching
    from stretto.bootstrap.database import Database
    from stretto.contexts.caching.management import CacheManagement
    from stretto.contexts.core.audio import AudioFile, FileIdentity, Span
    from stretto.contexts.core.bus import EventBus
    from stretto.contexts.core.recognition import Recognition, RecognitionRequest
    from stretto.contexts.processing.model import CancelToken, Samples
    from stretto.contexts.processing.ports import AudioStream, SpeechDetector
    from stretto.settings import Settings


class LaterReader:
    """An audio reader that takes FFmpeg in when it has to look into a file."""

    def identify(self, path: Path) -> FileIdentity:
        from stretto.contexts.processing.adapters.media_source import identify

        return identify(path)

    def probe(self, content: FileIdentity, *, stream: int | None = None) -> AudioFile:
        from stretto.contexts.processing.adapters.pyav import PyAvReader

        return PyAvReader().probe(content, stream=stream)

    def open(self, file: AudioFile) -> AudioStream:
        from stretto.contexts.processing.adapters.pyav import PyAvReader

        return PyAvReader().open(file)


class LaterDetector:
    """A speech detector: Silero where onnxruntime is installed; else loudness, which takes music
    for speech."""

    def __init__(self) -> None:
        self._made: SpeechDetector | None = None
        self._lock = Lock()

    def find(self, samples: Samples) -> tuple[Span, ...]:
        return self.made().find(samples)

    def made(self) -> SpeechDetector:
        with self._lock:
            if self._made is None:
                self._made = _build_detector()
            return self._made


def _build_detector() -> SpeechDetector:
    if util.find_spec("onnxruntime"):
        from stretto.contexts.processing.adapters.silero import SileroDetector

        return SileroDetector()
    from stretto.contexts.processing.adapters.energy import EnergyDetector

    return EnergyDetector()


class LaterCache:
    """A result cache."""

    def __init__(self, settings: Settings, database: Database, events: EventBus) -> None:
        self._settings = settings
        self._database = database
        self._events = events
        self._made: Caching | None = None
        self._lock = Lock()

    def made(self) -> Caching:
        """Raises InvalidOption when Redis is set up and its package is missing."""
        if self._made is None:
            with self._lock:  # two would not know of each other's flights
                if self._made is None:
                    from stretto.bootstrap.caching import build_caching

                    self._made = build_caching(self._settings, self._database, self._events)
        return self._made

    def management(self) -> CacheManagement:
        return self.made().management

    def find(self, request: RecognitionRequest) -> Recognition | None:
        return self.made().cache.find(request)

    def keep(self, request: RecognitionRequest, recognition: Recognition) -> None:
        self.made().cache.keep(request, recognition)

    def compute(
        self, request: RecognitionRequest, work: Callable[[], Recognition], *, cancel: CancelToken
    ) -> Recognition:
        return self.made().cache.compute(request, work, cancel=cancel)

    def close(self) -> None:
        if self._made is not None:
            self._made.management.close()
