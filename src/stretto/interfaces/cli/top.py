"""``stretto top``: how everything is doing, on one screen, again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.aggregation import Aggregator, Figure, Measure
from stretto.contexts.monitoring.frames import STEP_S, Frame, start_of
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.service import MonitoringService
from stretto.interfaces.cli.monitoring import number

if TYPE_CHECKING:
    from rich.console import RenderableType

WINDOW_S: Final = 300.0
RATES: Final[tuple[tuple[str, str, Measure, dict[str, tuple[str, ...]], float], ...]] = (
    ("jobs completed / min", "queue.events", Measure.RATE, {"event": ("completed",)}, 60.0),
    ("chunks / min", "processing.chunks", Measure.RATE, {}, 60.0),
    ("audio s / s", "processing.audio", Measure.RATE, {}, 1.0),
    ("requests / s", "http.requests", Measure.RATE, {}, 1.0),
    ("service calls / min", "gateway.calls", Measure.RATE, {}, 60.0),
)
TIMES: Final = (
    ("job waits", "queue.wait"),
    ("chunk takes", "processing.chunk_duration"),
    ("service answers", "gateway.latency"),
    ("server answers", "http.latency"),
)


def show_top(service: MonitoringService, *, every_s: float, once: bool) -> None:
    """Until Ctrl-C; once where there is no terminal."""
    from rich.console import Console
    from rich.live import Live

    if not 0.5 <= every_s <= 3600:
        raise InvalidOption(f"--every is from 0.5 to 3600 seconds, not {every_s:g}.")
    console = Console()
    if once or not sys.stdout.isatty():
        console.print(screen(service))
        return
    with Live(screen(service), console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(every_s)
                live.update(screen(service), refresh=True)
        except KeyboardInterrupt:
            return


def screen(service: MonitoringService) -> RenderableType:
    """The rates and percentiles are those of the last five minutes."""
    from rich.console import Group
    from rich.table import Table

    now = service.clock()
    start = Timestamp(start_of(now, STEP_S).unix_s - WINDOW_S)
    frames = service.frames.between(STEP_S, start, now)
    reading = service.reading()
    tables = []
    for title, heads, rows in (
        ("Queue", ("", "waiting", "oldest s"), _queue_rows(reading)),
        ("Now", ("", ""), _now_rows(reading)),
        ("Last five minutes", ("", ""), _rate_rows(frames)),
        ("Times (s)", ("", "p50", "p95", "p99"), _time_rows(frames)),
        ("Alerts", ("", "", "", ""), _alert_rows(service)),
    ):
        table = Table(*heads, title=title, title_justify="left", show_edge=False, box=None)
        for row in rows:
            table.add_row(*row)
        tables.append(table)
    return Group(*tables)


def _queue_rows(reading: Reading) -> list[tuple[str, ...]]:
    return [
        (
            priority,
            number(reading.values.get(f"queue.depth{{priority={priority}}}")),
            number(reading.values.get(f"queue.oldest{{priority={priority}}}")),
        )
        for priority in ("high", "medium", "low")
    ]


def _now_rows(reading: Reading) -> list[tuple[str, ...]]:
    names: tuple[str, ...] = ("queue.workers", "queue.running", "queue.dead_letters")
    names += ("processing.chunks_in_flight", "gateway.breakers_open", "machine.disk_free")
    return [(name, number(reading.values.get(name))) for name in names]


def _rate_rows(frames: Sequence[Frame]) -> list[tuple[str, ...]]:
    aggregator = Aggregator()
    rows: list[tuple[str, ...]] = []
    for title, metric, measure, where, factor in RATES:
        value = aggregator.figure(Figure(metric=metric, measure=measure, where=where), frames)
        rows.append((title, number(None if value is None else factor * value)))
    return rows


def _time_rows(frames: Sequence[Frame]) -> list[tuple[str, ...]]:
    aggregator = Aggregator()
    measures = (Measure.P50, Measure.P95, Measure.P99)
    return [
        (
            title,
            *(
                number(aggregator.figure(Figure(metric=metric, measure=m), frames))
                for m in measures
            ),
        )
        for title, metric in TIMES
    ]


def _alert_rows(service: MonitoringService) -> list[tuple[str, ...]]:
    alerts = [row for row in service.alerts() if row["status"] != "calm"]
    rows: list[tuple[str, ...]]
    rows = [(r["status"], r["severity"], r["rule"], r["summary"]) for r in alerts]
    return rows or [("none", "", "", "")]
