"""The cache for those who may not need it: a recording that is known is recalled without it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stretto.bootstrap.caching import Caching
    from stretto.bootstrap.database import Database
    from stretto.contexts.caching.management import CacheManagement
    from stretto.contexts.core.bus import EventBus
    from stretto.contexts.core.recognition import Recognition, RecognitionRequest
    from stretto.contexts.processing.model import CancelToken
    from stretto.settings import Settings


class LaterCache:
    """A result cache that is put together, and whose modules are imported, at its first use."""

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
