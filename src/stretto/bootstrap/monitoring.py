"""Wires monitoring: the page of this process, the series in the database, alerts and who hears of
them."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

from stretto.bootstrap.clock import now
from stretto.contexts.core.bus import EventBus, Publish
from stretto.contexts.core.events import AlertsChanged
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.database.model import Dialect
from stretto.contexts.monitoring.adapters.machine import disk_free, memory_bytes
from stretto.contexts.monitoring.adapters.pages import FilePage, LeftPage, left_pages
from stretto.contexts.monitoring.adapters.rule_files import read_rules
from stretto.contexts.monitoring.adapters.sql_store import SqlAlertStates, SqlFrames, SqlReports
from stretto.contexts.monitoring.charting import ChartPoints
from stretto.contexts.monitoring.collector import Counter, MetricsCollector, Page, memory_page
from stretto.contexts.monitoring.dashboards import DashboardGenerator
from stretto.contexts.monitoring.definitions import PROCESSES
from stretto.contexts.monitoring.evaluating import AlertEvaluator, firing_of
from stretto.contexts.monitoring.feeding import CacheFeed, EventFeed, GatewayFeed, HttpFeed
from stretto.contexts.monitoring.frames import ProcessReport
from stretto.contexts.monitoring.keeping import Keeper, Sample
from stretto.contexts.monitoring.model import OTHER, series_key
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.reporting import Reporter
from stretto.contexts.monitoring.service import MonitoringService
from stretto.settings import Settings

if TYPE_CHECKING:
    from stretto.bootstrap.database import Database
    from stretto.contexts.database.model import OutboxEvent, PoolMetrics
    from stretto.contexts.monitoring.adapters.exporter import Exporter
    from stretto.contexts.monitoring.alerts import AlertRule
    from stretto.contexts.monitoring.ports import Notifier

METRICS_FOLDER: Final = "metrics"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """A process that is watched: who counts in it, and what can be seen of all of them."""

    collector: MetricsCollector
    events: EventFeed
    cache: CacheFeed
    gateway: GatewayFeed
    http: HttpFeed
    slow_statements: Counter
    service: MonitoringService
    reporter: Reporter
    exporter: Exporter | None = None

    def close(self) -> None:
        self.reporter.close()
        if self.exporter is not None:
            self.exporter.close()


def build_monitoring(
    settings: Settings,
    database: Database,
    events: EventBus,
    *,
    role: str,
    due: Event | None = None,
    deliver: Callable[[], object] = lambda: None,
    breakers_open: Callable[[], int] = lambda: 0,
    clock: Callable[[], Timestamp] = now,
) -> Monitoring:
    """Whoever has it tells it of events. A process with the role ``command`` reports when it is
    closed; others do so every ten seconds, and workers answer Prometheus where the settings say so.
    ``deliver`` hands over what is in the outbox when ``due`` is set."""
    due = due or Event()
    page = _page(settings, role)
    collector = MetricsCollector(page, in_child=lambda parent: _child_page(settings, parent))
    service = build_service(settings, database, publish=events.publish, wrote=due.set, clock=clock)

    def tell() -> None:
        due.set()  # what could not be told is tried again, too
        deliver()

    def tick() -> None:
        service.tick()
        deliver()

    reporter = Reporter(
        identity=lambda: _identity(collector.page, role, clock()),
        collector=collector,
        reports=service.reports,
        left=lambda: _left(settings),
        tick=tick,
        tell=tell,
        clock=clock,
        removed=lambda: _remove(collector.page),
        observers=_observers(settings, database, collector, role, breakers_open),
    )
    exporter: Exporter | None = None
    if role != "command":
        reporter.start()
        if role != "serve" and settings.metrics_port:
            from stretto.contexts.monitoring.adapters.exporter import Exporter

            exporter = Exporter(
                service.exposition, host=settings.metrics_host, port=settings.metrics_port
            )
    return Monitoring(
        collector=collector,
        events=EventFeed(collector),
        cache=CacheFeed(collector),
        gateway=GatewayFeed(collector),
        http=HttpFeed(collector),
        slow_statements=collector.counter("database.slow"),
        service=service,
        reporter=reporter,
        exporter=exporter,
    )


def build_service(
    settings: Settings,
    database: Database,
    *,
    publish: Publish = lambda _: None,
    wrote: Callable[[], object] = lambda: None,
    clock: Callable[[], Timestamp] = now,
) -> MonitoringService:
    """For those who look. Raises InvalidOption for alert rules that are wrong."""
    frames = SqlFrames(database)
    rules = rules_of(settings)
    states = SqlAlertStates(database, outbox=OutboxWriter(wrote=wrote))

    def sample() -> Mapping[str, float]:
        return {**sample_of_queue(database)(), **firing_of(rules, states)}

    generator = DashboardGenerator()
    return MonitoringService(
        reports=SqlReports(database),
        frames=frames,
        states=states,
        keeper=Keeper(frames=frames, sample=sample, draw=generator.drawn, publish=publish),
        evaluator=AlertEvaluator(rules=rules, frames=frames, states=states, publish=publish),
        clock=clock,
        generator=generator,
        points=ChartPoints(frames, generator.point),
    )


def rules_of(settings: Settings) -> tuple[AlertRule, ...]:
    """Raises InvalidOption for alert rules that are wrong."""
    return read_rules(settings.alert_rules)


def sample_of_queue(database: Database) -> Sample:
    """The gauges of the queue, by their keys."""
    from stretto.contexts.queue.adapters.connections import Clock, MachineClock, ServerClock
    from stretto.contexts.queue.adapters.statistics import SqlQueueStatistics

    on_server = database.dialect is Dialect.POSTGRESQL
    clock: Clock = ServerClock() if on_server else MachineClock()
    statistics = SqlQueueStatistics(database, clock=clock)

    def sample() -> Mapping[str, float]:
        found = statistics.now()
        values = {
            "queue.running": float(found.running),
            "queue.dead_letters": float(found.dead),
            "queue.workers": float(found.workers),
        }
        for priority, depth in found.depth.items():
            labels = {"priority": str(priority)}
            values[series_key("queue.depth", labels)] = float(depth)
            values[series_key("queue.oldest", labels)] = found.oldest_s[priority]
        return values

    return sample


def notify(settings: Settings, way: str, event: OutboxEvent) -> None:
    """Tell people by one of the ways. Raises StrettoError when they were not told."""
    if isinstance(event.event, AlertsChanged):
        _notifier(settings, way).notify(event.event, notice_id=event.id)


@lru_cache(maxsize=8)
def _notifier(settings: Settings, way: str) -> Notifier:
    if way == "webhook":
        from stretto.contexts.monitoring.adapters.notify_webhook import WebhookNotifier

        url, secret = settings.alert_webhook_url, settings.alert_webhook_secret
        return WebhookNotifier(url, secret=secret, clock=now)
    if way == "mail":
        from stretto.contexts.monitoring.adapters.notify_smtp import SmtpNotifier

        return SmtpNotifier(settings.alert_smtp_url)
    if way == "apprise":
        from stretto.contexts.monitoring.adapters.notify_apprise import AppriseNotifier

        return AppriseNotifier(settings.alert_apprise_urls)
    from stretto.contexts.monitoring.adapters.notify_log import LogNotifier

    return LogNotifier()


def _folder(settings: Settings) -> Path:
    return settings.home / METRICS_FOLDER


def _page(settings: Settings, role: str) -> Page:
    """In memory where there is no room for a file: then a killed process takes its last ten seconds
    with it."""
    try:
        return FilePage(_folder(settings), role=role)
    except OSError as trouble:
        logger.info("Metrics of this process are kept in its memory only: %s", trouble)
        return memory_page()


def _child_page(settings: Settings, parent: Page) -> Page:
    """A forked child does not report: its parent's connections are not its own. What it counted is
    taken over by others when it is gone."""
    if isinstance(parent, FilePage):
        parent.left()
    return _page(settings, OTHER)


def _identity(page: Page, role: str, at: Timestamp) -> ProcessReport:
    return ProcessReport(
        id=page.id,
        role=role,
        host=socket.gethostname()[:255],
        pid=os.getpid(),
        at=at,
        reading=Reading(),
    )


def _left(settings: Settings) -> Iterable[LeftPage]:
    return left_pages(_folder(settings))


def _remove(page: Page) -> None:
    if isinstance(page, FilePage):
        page.remove()


def _observers(
    settings: Settings,
    database: Database,
    collector: MetricsCollector,
    role: str,
    breakers_open: Callable[[], int],
) -> list[Callable[[], None]]:
    up = collector.gauge("process.up", role=role if role in PROCESSES else OTHER)
    memory = collector.gauge("process.memory")
    breakers = collector.gauge("gateway.breakers_open")
    free_bytes = collector.gauge("machine.disk_free_bytes")
    free = collector.gauge("machine.disk_free")

    def process() -> None:
        up.set(1)
        breakers.set(breakers_open())
        found = memory_bytes()
        if found is not None:
            memory.set(found)

    def disk() -> None:
        there, share = disk_free(settings.home)
        free_bytes.set(there)
        free.set(share)

    observers = [process, disk]
    pool = getattr(database, "pool", None)
    if pool is not None:
        observers.append(_pool_observer(collector, pool.metrics))
    return observers


def _pool_observer(
    collector: MetricsCollector, metrics: Callable[[], PoolMetrics]
) -> Callable[[], None]:
    used, idle = (collector.gauge("database.connections", state=s) for s in ("used", "idle"))
    fullest = collector.gauge("database.pool_used")
    waits, refusals = collector.counter("database.waits"), collector.counter("database.refusals")

    def observe() -> None:
        found = metrics()
        used.set(found.in_use)
        idle.set(found.idle)
        fullest.set(found.in_use / found.size.limit)
        waits.reached(found.waited_s)
        refusals.reached(found.refusals)

    return observe
