"""The dashboard: one definition of rows, charts and lines; the page's data and Grafana's JSON are
made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.aggregation import Aggregator, Figure, Measure, moments
from stretto.contexts.monitoring.definitions import BY_NAME
from stretto.contexts.monitoring.frames import Drawn, Frame, Point
from stretto.contexts.monitoring.prometheus import expression

GRAFANA_SCHEMA: Final = 39
_COMPUTED: Final = 1
"""Counts how often it was changed what a point is made of: those that were kept before are not
shown any more."""

_GRAFANA_UNITS: Final = {
    "seconds": "s",
    "bytes": "bytes",
    "share": "percentunit",
    "per second": "ops",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a chart."""

    name: str
    figure: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    id: str
    title: str
    unit: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    title: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    title: str
    rows: tuple[Row, ...]


def _of(name: str, metric: str, measure: Measure, where: Mapping[str, tuple[str, ...]]) -> Line:
    """Of the series with these labels; a share is that among all series of the metric, unless it
    is one of calls: those that were not made are no part of them."""
    among = {label: _WHOLE.get(metric, BY_NAME[metric].labels[label]) for label in where}
    whole = among if measure is Measure.SHARE else {}
    return Line(name=name, figure=Figure(metric=metric, measure=measure, where=where, among=whole))


def _one(name: str, metric: str, measure: Measure, **where: str) -> Line:
    return _of(name, metric, measure, {label: (value,) for label, value in where.items()})


def _each(metric: str, measure: Measure, label: str) -> tuple[Line, ...]:
    """A line for each value of a label."""
    return tuple(
        _of(value.replace("_", " "), metric, measure, {label: (value,)})
        for value in BY_NAME[metric].labels[label]
    )


def _percentiles(metric: str) -> tuple[Line, ...]:
    return tuple(_one(m.value, metric, m) for m in (Measure.P50, Measure.P95, Measure.P99))


_WHOLE: Final = {"gateway.calls": ("ok", "too_many", "refused", "failed")}
_LAST, _RATE, _SHARE = Measure.LAST, Measure.RATE, Measure.SHARE


def _chart(title: str, unit: str, *lines: Line) -> Chart:
    return Chart(id=title.lower().replace(" ", "-"), title=title, unit=unit, lines=lines)


DASHBOARD: Final = Dashboard(
    title="Stretto",
    rows=(
        Row(title="Queue", charts=(
            _chart("Waiting jobs", "jobs", *_each("queue.depth", _LAST, "priority")),
            _chart("Oldest waiting job", "seconds", *_each("queue.oldest", _LAST, "priority")),
            _chart("Jobs", "per second", *_each("queue.events", _RATE, "event")),
            _chart("Wait until taken", "seconds", *_percentiles("queue.wait")),
            _chart("Workers and running jobs", "count",
                   _one("workers", "queue.workers", _LAST), _one("running", "queue.running", _LAST),
                   _one("dead letters", "queue.dead_letters", _LAST)),
        )),
        Row(title="Processing", charts=(
            _chart("Speed", "seconds of audio per second",
                   _one("all chunks", "processing.audio", _RATE)),
            _chart("Slowness", "seconds per second of audio",
                   *_percentiles("processing.slowness")),
            _chart("Duration of files", "seconds", *_percentiles("processing.duration")),
            _chart("Chunks", "per second", *_each("processing.chunks", _RATE, "outcome")),
            _chart("Chunks in flight", "chunks",
                   _one("chunks", "processing.chunks_in_flight", _LAST)),
        )),
        Row(title="Cache", charts=(
            _chart("Found in the cache", "share", *(
                _one(level, "cache.lookups", _SHARE, level=level)
                for level in ("L1", "L2", "L3"))),
            _chart("Speech not recognised again", "seconds per second",
                   *_each("cache.saved", _RATE, "level")),
            _chart("Trouble of levels", "per second", *_each("cache.trouble", _RATE, "level")),
        )),
        Row(title="Service", charts=(
            _chart("Latency of the service", "seconds", *_percentiles("gateway.latency")),
            _chart("Calls to the service", "per second",
                   *_each("gateway.calls", _RATE, "outcome")),
            _chart("Too many requests", "share",
                   _one("429", "gateway.calls", _SHARE, outcome="too_many")),
        )),
        Row(title="Server and database", charts=(
            _chart("Requests", "per second", *_each("http.requests", _RATE, "status")),
            _chart("Latency of answers", "seconds", *_percentiles("http.latency")),
            _chart("Connections", "connections", *_each("database.connections", _LAST, "state")),
            _chart("Slow statements", "per second", _one("slow", "database.slow", _RATE)),
            _chart("Free disk", "share", _one("free", "machine.disk_free", _LAST)),
        )),
    ),
)  # fmt: skip


class DashboardGenerator:
    """Makes a dashboard into what those can draw who show it."""

    def __init__(self, dashboard: Dashboard = DASHBOARD) -> None:
        self.dashboard = dashboard
        charts = [chart for row in dashboard.rows for chart in row.charts]
        self._figures = [line.figure for chart in charts for line in chart.lines]
        self._aggregator = Aggregator()
        asked = [(f.metric, f.measure.value, f.chosen, f.whole) for f in self._figures]
        self._charts = hashlib.sha256(repr((_COMPUTED, asked)).encode()).hexdigest()[:16]

    def drawn(self, frame: Frame) -> Frame:
        """The frame with its point: whoever shows it need not open its timers."""
        return replace(frame, drawn=Drawn(self._charts, self._computed(frame)))

    def point(self, frame: Frame) -> Point:
        """What all lines are at the moment of a frame, one after the other, to six digits."""
        if frame.drawn is not None and frame.drawn.charts == self._charts:
            return frame.drawn.point
        return self._computed(frame)

    def _computed(self, frame: Frame) -> Point:
        found = self._aggregator.figures(self._figures, (frame,))
        return tuple(None if value is None else float(f"{value:.6g}") for value in found)

    def data(
        self,
        points: Mapping[float, Point],
        *,
        step_s: int,
        start: Timestamp,
        end: Timestamp,
    ) -> dict[str, Any]:
        """What a page draws: of each line a number or null for each step from ``start`` on."""
        nothing: Point = (None,) * len(self._figures)
        there = [points.get(at, nothing) for at in moments(start, end, step_s)]
        columns = ([point[place] for point in there] for place in range(len(self._figures)))
        return {
            "title": self.dashboard.title,
            "start": start.unix_s,
            "end": end.unix_s,
            "step_s": step_s,
            "rows": [
                {
                    "title": row.title,
                    "charts": [
                        {
                            "id": chart.id,
                            "title": chart.title,
                            "unit": chart.unit,
                            "lines": [
                                {"name": line.name, "values": next(columns)} for line in chart.lines
                            ],
                        }
                        for chart in row.charts
                    ],
                }
                for row in self.dashboard.rows
            ],
        }

    def grafana(self) -> dict[str, Any]:
        """A dashboard for Grafana 10 and newer; it asks which Prometheus to use."""
        panels: list[dict[str, Any]] = []
        top = 0
        for row in self.dashboard.rows:
            panels.append(_heading(len(panels) + 1, row.title, top))
            top += 1
            for position, chart in enumerate(row.charts):
                place = {"h": 8, "w": 8, "x": 8 * (position % 3), "y": top + 8 * (position // 3)}
                panels.append(_panel(len(panels) + 1, chart, place))
            top += 8 * -(-len(row.charts) // 3)
        return {
            "uid": "stretto",
            "title": self.dashboard.title,
            "tags": ["stretto"],
            "schemaVersion": GRAFANA_SCHEMA,
            "version": 1,
            "editable": True,
            "timezone": "browser",
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {
                "list": [
                    {
                        "name": "datasource",
                        "label": "Prometheus",
                        "type": "datasource",
                        "query": "prometheus",
                    }
                ]
            },
            "annotations": {"list": []},
            "panels": panels,
        }


def _heading(number: int, title: str, top: int) -> dict[str, Any]:
    place = {"h": 1, "w": 24, "x": 0, "y": top}
    return {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}


def _panel(number: int, chart: Chart, place: Mapping[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": chart.title,
        "gridPos": dict(place),
        "datasource": source,
        "fieldConfig": {
            "defaults": {"unit": _GRAFANA_UNITS.get(chart.unit, "short"), "min": 0},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "datasource": source,
                "expr": expression(line.figure, window="$__rate_interval"),
                "legendFormat": line.name,
            }
            for position, line in enumerate(chart.lines)
        ],
    }
