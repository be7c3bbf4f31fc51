"""Monitoring for a process that may end before there is anything to measure: nothing of it is
imported until a chunk is computed, or somebody says that the process stays."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.events import (
    ChunkProcessingCompleted,
    DomainEvent,
    FileProcessingCancelled,
    FileProcessingCompleted,
    FileProcessingFailed,
    FileProcessingStarted,
)

if TYPE_CHECKING:
    from stretto.bootstrap.database import Database
    from stretto.bootstrap.monitoring import Monitoring
    from stretto.bootstrap.remote import RemoteServices
    from stretto.contexts.core.bus import EventBus
    from stretto.settings import Settings

logger = logging.getLogger(__name__)

SOMETHING_DONE: Final = (
    ChunkProcessingCompleted,
    FileProcessingCompleted,
    FileProcessingFailed,
    FileProcessingCancelled,
)
"""What is slow to import is imported after these: the first words do not wait for it."""


def ways_of_telling(settings: Settings) -> list[str]:
    """How people are told of alerts."""
    ways = {
        "log": True,
        "webhook": bool(settings.alert_webhook_url),
        "mail": bool(settings.alert_smtp_url),
        "apprise": bool(settings.alert_apprise_urls),
    }
    return [way for way, wanted in ways.items() if wanted]


class LaterMonitoring:
    """Satisfies the observers of the cache and of the gateways, too.

    In a command it is made on a thread of its own when the first chunk is done; what is told before
    waits. What was told before the first file was begun is not counted. ``deliver`` hands over what
    is in the outbox, in the background.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        events: EventBus,
        *,
        due: Event,
    ) -> None:
        self._settings, self._database, self._events = settings, database, events
        self._due = due
        self.deliver: Callable[[], object] = lambda: None
        self._services: RemoteServices | None = None
        self._made: Monitoring | None = None
        self._waiting: list[Callable[[Monitoring], None]] | None = None
        self._maker: Thread | None = None
        self._closed = not settings.metrics
        self._lock, self._making = Lock(), Lock()
        if settings.metrics:
            events.subscribe(DomainEvent, self._heard)

    def watch(self, services: RemoteServices) -> None:
        """Their breakers, from now on."""
        self._services = services

    def start(self, role: str) -> Monitoring | None:
        """The process stays, as a worker or a server: it reports every ten seconds. None when
        nothing is to be measured. Raises InvalidOption for alert rules that are wrong."""
        return self._make(role)

    def looked_up(self, level: str, size_bytes: int, speech_s: float) -> None:
        self._tell(lambda made: made.cache.looked_up(level, size_bytes, speech_s))

    def troubled(self, level: str) -> None:
        self._tell(lambda made: made.cache.troubled(level))

    def called(self, outcome: str, seconds: float) -> None:
        self._tell(lambda made: made.gateway.called(outcome, seconds))

    def answered(self, route: str, status: int, seconds: float) -> None:
        if self._made is not None:
            self._made.http.answered(route, status, seconds)

    def retried(self) -> None:
        self._tell(lambda made: made.gateway.retried())

    def slow_statement(self) -> None:
        self._tell(lambda made: made.slow_statements.add())

    def close(self) -> None:
        """What was counted is written down. Never raises."""
        if self._maker is not None:
            self._maker.join()
        with self._making:
            self._closed = True
        if self._made is not None:
            self._made.close()

    def _heard(self, event: DomainEvent) -> None:
        if isinstance(event, FileProcessingStarted):
            self._wait()
        self._tell(lambda made: made.events.heard(event))
        if isinstance(event, SOMETHING_DONE):
            self._begin()

    def _tell(self, what: Callable[[Monitoring], None]) -> None:
        if self._made is None:
            if self._waiting is None:  # nobody knows yet whether there is anything to measure
                return
            with self._lock:
                if self._made is None:
                    if self._waiting is not None:
                        self._waiting.append(what)
                    return
        what(self._made)

    def _wait(self) -> None:
        """There is something to measure from now on."""
        with self._lock:
            if self._made is None and self._maker is None and not self._closed:
                self._waiting = self._waiting or []

    def _begin(self) -> None:
        with self._lock:
            if self._waiting is None or self._maker is not None or self._closed:
                return
            self._maker = Thread(target=self._make_behind, name="metrics", daemon=True)
        self._maker.start()

    def _make_behind(self) -> None:
        try:
            self._make("command")
        except StrettoError as trouble:
            logger.warning("Nothing is measured. %s", trouble)
        except Exception:
            logger.exception("Nothing is measured.")
        finally:
            with self._lock:
                self._waiting = None

    def _make(self, role: str) -> Monitoring | None:
        with self._making:
            if self._closed or self._made is not None:
                return self._made
            from stretto.bootstrap.monitoring import build_monitoring

            made = build_monitoring(
                self._settings,
                self._database,
                self._events,
                role=role,
                due=self._due,
                deliver=self.deliver,
                breakers_open=self._breakers_open,
            )
            with self._lock:
                for what in self._waiting or ():
                    what(made)
                self._made = made
            return made

    def _breakers_open(self) -> int:
        return self._services.breakers_open if self._services is not None else 0
