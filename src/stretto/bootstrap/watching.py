"""Monitoring for a process that may end before there is anything to measure: nothing of it is
imported until a chunk is computed, or somebody says that the process stays."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Lock
from typing import TYPE_CHECKING

from stretto.contexts.core.events import DomainEvent, FileProcessingStarted

if TYPE_CHECKING:
    from stretto.bootstrap.database import Database
    from stretto.bootstrap.monitoring import Monitoring
    from stretto.bootstrap.remote import RemoteServices
    from stretto.contexts.core.bus import EventBus
    from stretto.settings import Settings

logger = logging.getLogger(__name__)


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
    """Satisfies the observers of the cache and of the gateways, too: what they tell before it is
    made is not counted, and nothing of it would have been."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        events: EventBus,
        *,
        due: Event,
        deliver: Callable[[], object],
    ) -> None:
        self._settings, self._database, self._events = settings, database, events
        self._due, self._deliver = due, deliver
        self._services: RemoteServices | None = None
        self._made: Monitoring | None = None
        self._closed = not settings.metrics
        self._lock = Lock()
        if settings.metrics:
            self._unsubscribe = events.subscribe(FileProcessingStarted, self._begun)

    def watch(self, services: RemoteServices) -> None:
        """Their breakers, from now on."""
        self._services = services

    def start(self, role: str) -> Monitoring | None:
        """The process stays, as a worker or a server: it reports every ten seconds. None when
        nothing is to be measured."""
        return self._make(role)

    def looked_up(self, level: str, size_bytes: int, speech_s: float) -> None:
        if self._made is not None:
            self._made.cache.looked_up(level, size_bytes, speech_s)

    def troubled(self, level: str) -> None:
        if self._made is not None:
            self._made.cache.troubled(level)

    def called(self, outcome: str, seconds: float) -> None:
        if self._made is not None:
            self._made.gateway.called(outcome, seconds)

    def answered(self, route: str, status: int, seconds: float) -> None:
        if self._made is not None:
            self._made.http.answered(route, status, seconds)

    def retried(self) -> None:
        if self._made is not None:
            self._made.gateway.retried()

    def slow_statement(self) -> None:
        if self._made is not None:
            self._made.slow_statements.add()

    def close(self) -> None:
        """What was counted is written down. Never raises."""
        with self._lock:
            self._closed = True
            made = self._made
        if made is not None:
            made.close()

    def _begun(self, event: DomainEvent) -> None:
        self._unsubscribe()
        fresh = self._made is None
        made = self._make("command")
        if fresh and made is not None:
            made.events.heard(event)  # it subscribed after this was published

    def _make(self, role: str) -> Monitoring | None:
        with self._lock:
            if self._closed or self._made is not None:
                return self._made
            from stretto.bootstrap.monitoring import build_monitoring

            self._made = build_monitoring(
                self._settings,
                self._database,
                self._events,
                role=role,
                due=self._due,
                deliver=self._deliver,
                breakers_open=self._breakers_open,
            )
        return self._made

    def _breakers_open(self) -> int:
        return self._services.breakers_open if self._services is not None else 0
