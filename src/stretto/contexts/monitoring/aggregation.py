"""Makes figures of frames: rates, averages, shares and percentiles over a stretch of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.definitions import BY_NAME
from stretto.contexts.monitoring.frames import Frame
from stretto.contexts.monitoring.model import Across, MetricKind, split_key
from stretto.contexts.monitoring.reading import JOIN, Reading
from stretto.contexts.monitoring.sketch import P50, P95, P99, Percentile, Sketch, merged


class Measure(StrEnum):
    """What is made of a metric."""

    LAST = "last"
    SUM = "sum"
    RATE = "rate"
    SHARE = "share"
    AVERAGE = "average"
    P50 = "p50"
    P95 = "p95"
    P99 = "p99"


PERCENTILES: Final[Mapping[Measure, Percentile]] = MappingProxyType(
    {Measure.P50: P50, Measure.P95: P95, Measure.P99: P99}
)
FITTING: Final[Mapping[MetricKind, frozenset[Measure]]] = MappingProxyType(
    {
        MetricKind.COUNTER: frozenset({Measure.SUM, Measure.RATE, Measure.SHARE}),
        MetricKind.GAUGE: frozenset({Measure.LAST, Measure.AVERAGE}),
        MetricKind.TIMER: frozenset({Measure.RATE, Measure.AVERAGE, *PERCENTILES}),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What is asked for: a measure of those series of a metric whose labels have one of the values
    of ``where``. A share is that of these among all series that have the labels of ``among``."""

    metric: str
    measure: Measure
    where: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    among: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Raises InvalidOption for what the table does not have."""
        definition = BY_NAME.get(self.metric)
        if definition is None:
            raise InvalidOption(f"There is no metric {self.metric[:64]!r}.")
        if self.measure not in FITTING[definition.kind]:
            raise InvalidOption(
                f"{self.metric} is a {definition.kind}: it has no {self.measure}, but "
                f"{', '.join(sorted(FITTING[definition.kind]))}."
            )
        for label, values in (*self.where.items(), *self.among.items()):
            unknown = sorted(set(values) - set(definition.labels.get(label, ())))
            if unknown or label not in definition.labels:
                raise InvalidOption(f"{self.metric} has no {label} {', '.join(unknown)[:64]!r}.")


class Aggregator:
    """Everything is asked of frames that lie in a row, without a gap in time."""

    def figure(self, wanted: Figure, frames: Sequence[Frame]) -> float | None:
        """None when nothing was recorded of which it could be said."""
        definition = BY_NAME[wanted.metric]
        if definition.kind is MetricKind.TIMER:
            return self._of_sketch(wanted, frames)
        if definition.kind is MetricKind.GAUGE:
            return self._of_gauge(wanted, frames, definition.across)
        found = _grown(frames, wanted.metric, wanted.where)
        if wanted.measure is Measure.SHARE:
            among = _grown(frames, wanted.metric, wanted.among)
            return found / among if among else None
        if wanted.measure is Measure.RATE:
            covered_s = sum(frame.step_s for frame in frames)
            return found / covered_s if covered_s else None
        return found if frames else None

    def count(self, wanted: Figure, frames: Sequence[Frame]) -> float:
        """How much was recorded in all of what a share or a percentile is of."""
        if BY_NAME[wanted.metric].kind is MetricKind.TIMER:
            return sum(_sketch(frame.reading, wanted).count for frame in frames)
        return _grown(frames, wanted.metric, wanted.among or wanted.where)

    def _of_sketch(self, wanted: Figure, frames: Sequence[Frame]) -> float | None:
        sketch = merged(_sketch(frame.reading, wanted) for frame in frames)
        if wanted.measure in PERCENTILES:
            return sketch.percentile(PERCENTILES[wanted.measure])
        if wanted.measure is Measure.AVERAGE:
            return sketch.average
        covered_s = sum(frame.step_s for frame in frames)
        return sketch.count / covered_s if covered_s else None

    def _of_gauge(self, wanted: Figure, frames: Sequence[Frame], across: Across) -> float | None:
        join = JOIN[across]
        told = [
            join(values)
            for frame in frames
            if (values := list(_chosen(frame.reading, wanted.metric, wanted.where)))
        ]
        if not told:
            return None
        return told[-1] if wanted.measure is Measure.LAST else sum(told) / len(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSeries:
    """A figure over time: the moment at which each stretch begins, and its value or None."""

    figure: Figure
    step_s: int
    points: tuple[tuple[Timestamp, float | None], ...]


def series_of(
    wanted: Figure, frames: Iterable[Frame], *, step_s: int, start: Timestamp, end: Timestamp
) -> MetricSeries:
    """Each point from the frame of its moment; where there is none, nothing was recorded."""
    there = {frame.start.unix_s: frame for frame in frames}
    aggregator = Aggregator()
    points, at = [], start.unix_s
    while at < end.unix_s:
        frame = there.get(at)
        points.append(
            (Timestamp(at), aggregator.figure(wanted, (frame,)) if frame is not None else None)
        )
        at += step_s
    return MetricSeries(figure=wanted, step_s=step_s, points=tuple(points))


def _grown(frames: Iterable[Frame], metric: str, where: Mapping[str, tuple[str, ...]]) -> float:
    keys = _keys(metric, where)
    return sum(frame.reading.values.get(key, 0.0) for frame in frames for key in keys)


def _chosen(reading: Reading, metric: str, where: Mapping[str, tuple[str, ...]]) -> Iterable[float]:
    return (v for key in _keys(metric, where) if (v := reading.values.get(key)) is not None)


def _sketch(reading: Reading, wanted: Figure) -> Sketch:
    keys = _keys(wanted.metric, wanted.where)
    return merged(found for key in keys if (found := reading.sketches.get(key)) is not None)


def _keys(metric: str, where: Mapping[str, tuple[str, ...]]) -> list[str]:
    asked = (metric, tuple(sorted(where.items())))
    if asked not in _FOUND:
        _FOUND[asked] = [
            key
            for key in BY_NAME[metric].series()
            if all(split_key(key)[1][label] in values for label, values in where.items())
        ]
    return _FOUND[asked]


_FOUND: Final[dict[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], list[str]]] = {}
"""As many as rules and charts ask for."""
