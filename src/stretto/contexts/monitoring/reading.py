"""What the series stood at, at one moment or over one stretch of time, and how readings add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.monitoring.definitions import BY_KEY
from stretto.contexts.monitoring.model import Across, MetricKind
from stretto.contexts.monitoring.sketch import Sketch, merged

JOIN: Final[Mapping[Across, Callable[[Iterable[float]], float]]] = {
    Across.SUM: sum,
    Across.HIGHEST: max,
    Across.LOWEST: min,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters and gauges by their keys, timers as sketches. A series that is not there has not
    been recorded."""

    values: Mapping[str, float] = field(default_factory=dict)
    sketches: Mapping[str, Sketch] = field(default_factory=dict)

    def counters(self) -> Reading:
        """Without what is only true just now."""
        kept = {key: v for key, v in self.values.items() if _kind(key) is MetricKind.COUNTER}
        return Reading(kept, self.sketches)

    def gauges(self) -> Reading:
        return Reading({k: v for k, v in self.values.items() if _kind(k) is MetricKind.GAUGE})

    def since(self, earlier: Reading) -> Reading:
        """How much counters and timers grew since ``earlier``; gauges as they are now."""
        values = {
            key: value - earlier.values.get(key, 0.0) if _kind(key) is MetricKind.COUNTER else value
            for key, value in self.values.items()
        }
        sketches = {
            key: sketch.minus(earlier.sketches[key]) if key in earlier.sketches else sketch
            for key, sketch in self.sketches.items()
        }
        return Reading(
            {k: v for k, v in values.items() if v > 0 or _kind(k) is MetricKind.GAUGE},
            {key: sketch for key, sketch in sketches.items() if sketch.count > 0},
        )


def together(readings: Iterable[Reading]) -> Reading:
    """Several processes as one: counters and timers add up, gauges as their definition says."""
    values: dict[str, list[float]] = {}
    sketches: dict[str, list[Sketch]] = {}
    for reading in readings:
        for key, value in reading.values.items():
            values.setdefault(key, []).append(value)
        for key, sketch in reading.sketches.items():
            sketches.setdefault(key, []).append(sketch)
    return Reading(
        {key: JOIN[_across(key)](found) for key, found in values.items()},
        {key: merged(found) for key, found in sketches.items()},
    )


def in_a_row(readings: Iterable[Reading]) -> Reading:
    """Several stretches of time as one: what grew adds up, of a gauge it is the average."""
    readings = tuple(readings)
    whole = together(reading.counters() for reading in readings)
    gauges: dict[str, list[float]] = {}
    for reading in readings:
        for key, value in reading.gauges().values.items():
            gauges.setdefault(key, []).append(value)
    averages = {key: sum(found) / len(found) for key, found in gauges.items()}
    return Reading({**whole.values, **averages}, whole.sketches)


def _kind(key: str) -> MetricKind | None:
    definition = BY_KEY.get(key)  # a newer or older program may know others
    return definition.kind if definition else None


def _across(key: str) -> Across:
    return BY_KEY[key].across if key in BY_KEY else Across.SUM
