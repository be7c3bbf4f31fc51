"""Somebody who watches, and for whom time passes as a test wants it."""

from __future__ import annotations

import time
from typing import Any

from stretto.bootstrap.monitoring import Monitoring, build_monitoring
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.events import AlertResolved, AlertTriggered, DomainEvent
from stretto.settings import Settings
from tests.fakes.clock import FakeClock
from tests.servers import opened

SOON_S = 60.0
"""After so long by the clock of monitoring somebody has to know."""


class Operator:
    """Watches a process, and goes through time in steps of ten seconds."""

    def __init__(self, settings: Settings, **given: Any) -> None:
        # ahead of what other processes do meanwhile by the clock of the machine
        self.clock = FakeClock(float(int(time.time()) // 600 * 600 + 1200))
        self.events: list[DomainEvent] = []
        self.bus = EventBus()
        for kind in (AlertTriggered, AlertResolved):
            self.bus.subscribe(kind, self.events.append)
        self.monitoring: Monitoring = build_monitoring(
            settings, opened(settings.home), self.bus, role="command", clock=self.clock, **given
        )

    def step(self) -> None:
        self.clock.advance(10)
        self.monitoring.reporter.round()

    def hears_of(self, rule: str) -> float:
        """After how many seconds."""
        began = self.clock().unix_s
        while not self.incidents(rule):
            self.step()
            assert self.clock().unix_s - began <= SOON_S, rule
        return self.clock().unix_s - began

    def hears_the_end_of(self, rule: str, *, within_s: float) -> None:
        """It is told once, as was the beginning."""
        began = self.clock().unix_s
        while rule in self.firing():
            self.step()
            assert self.clock().unix_s - began <= within_s, rule
        assert self.incidents(rule) == 1
        assert self.told(AlertResolved).count(rule) == 1

    def incidents(self, rule: str) -> int:
        return self.told(AlertTriggered).count(rule)

    def told(self, kind: type[AlertTriggered | AlertResolved]) -> list[str]:
        return [event.alert_rule_id for event in self.events if isinstance(event, kind)]

    def firing(self) -> set[str]:
        return {a["rule"] for a in self.monitoring.service.alerts() if a["status"] == "firing"}
