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
from stretto.contexts.monitoring.model import MetricDefinition, MetricKind, split_key
from stretto.contexts.monitoring.reading import JOIN
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
    definition: MetricDefinition = field(init=False, repr=False, compare=False)
    chosen: tuple[str, ...] = field(init=False, repr=False, compare=False)
    whole: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The series of ``where`` and of ``among``: looked up once, not with each frame."""

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
        found = (definition, _keys(definition, self.where), _keys(definition, self.among))
        for name, value in zip(("definition", "chosen", "whole"), found, strict=True):
            object.__setattr__(self, name, value)


class Aggregator:
    """Everything is asked of frames that lie in a row, without a gap in time."""

    def figure(self, wanted: Figure, frames: Sequence[Frame]) -> float | None:
        """None when nothing was recorded of which it could be said."""
        return self.figures((wanted,), frames)[0]

    def figures(
        self, wanted: Iterable[Figure], frames: Sequence[Frame]
    ) -> tuple[float | None, ...]:
        """Several at once: what they ask of the same series is computed once."""
        distributions: dict[tuple[str, ...], _Distribution] = {}
        found: list[float | None] = []
        for one in wanted:
            if one.definition.kind is MetricKind.GAUGE:
                found.append(_of_gauge(one, frames))
            elif one.definition.kind is MetricKind.COUNTER:
                found.append(_of_counter(one, frames))
            else:
                if one.chosen not in distributions:
                    distributions[one.chosen] = _Distribution(_sketch(frames, one.chosen), frames)
                found.append(distributions[one.chosen].measured(one.measure))
        return tuple(found)

    def count(self, wanted: Figure, frames: Sequence[Frame]) -> float:
        """How much was recorded in all of what a share or a percentile is of."""
        if wanted.definition.kind is MetricKind.TIMER:
            return _sketch(frames, wanted.chosen).count
        return _grown(frames, wanted.whole if wanted.among else wanted.chosen)


class _Distribution:
    """What several measures are of; the percentiles are looked for together."""

    def __init__(self, sketch: Sketch, frames: Sequence[Frame]) -> None:
        self._sketch, self._frames = sketch, frames
        self._percentiles: dict[Measure, float | None] = {}

    def measured(self, measure: Measure) -> float | None:
        if measure is Measure.AVERAGE:
            return self._sketch.average
        if measure is Measure.RATE:
            return _per_second(self._sketch.count, self._frames)
        if not self._percentiles:
            found = self._sketch.percentiles(*PERCENTILES.values())
            self._percentiles = dict(zip(PERCENTILES, found, strict=True))
        return self._percentiles[measure]


def _of_counter(wanted: Figure, frames: Sequence[Frame]) -> float | None:
    grown = _grown(frames, wanted.chosen)
    if wanted.measure is Measure.SHARE:
        whole = _grown(frames, wanted.whole)
        return grown / whole if whole else None
    if wanted.measure is Measure.RATE:
        return _per_second(grown, frames)
    return grown if frames else None


def _of_gauge(wanted: Figure, frames: Sequence[Frame]) -> float | None:
    join = JOIN[wanted.definition.across]
    told = []
    for frame in frames:
        values = frame.reading.values
        there = [values[key] for key in wanted.chosen if key in values]
        if there:
            told.append(join(there))
    if not told:
        return None
    return told[-1] if wanted.measure is Measure.LAST else sum(told) / len(told)


def _per_second(amount: float, frames: Sequence[Frame]) -> float | None:
    covered_s = sum(frame.step_s for frame in frames)
    return amount / covered_s if covered_s else None


def _grown(frames: Sequence[Frame], keys: Sequence[str]) -> float:
    return sum(frame.reading.values.get(key, 0.0) for frame in frames for key in keys)


def _sketch(frames: Sequence[Frame], keys: Sequence[str]) -> Sketch:
    sketches = (frame.reading.sketches for frame in frames)
    return merged(there[key] for there in sketches for key in keys if key in there)


def _keys(definition: MetricDefinition, where: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(
        key
        for key in definition.series()
        if all(split_key(key)[1][label] in values for label, values in where.items())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSeries:
    """A figure over time: the moment at which each stretch begins, and its value or None."""

    figure: Figure
    step_s: int
    points: tuple[tuple[Timestamp, float | None], ...]


def series_of(
    wanted: Sequence[Figure],
    frames: Iterable[Frame],
    *,
    step_s: int,
    start: Timestamp,
    end: Timestamp,
) -> list[MetricSeries]:
    """Each point from the frame of its moment; where there is none, nothing was recorded."""
    aggregator = Aggregator()
    there = {frame.start.unix_s: aggregator.figures(wanted, (frame,)) for frame in frames}
    nothing = (None,) * len(wanted)
    times = [Timestamp(at) for at in moments(start, end, step_s)]
    return [
        MetricSeries(
            figure=figure,
            step_s=step_s,
            points=tuple((at, there.get(at.unix_s, nothing)[place]) for at in times),
        )
        for place, figure in enumerate(wanted)
    ]


def moments(start: Timestamp, end: Timestamp, step_s: int) -> list[float]:
    """The beginnings of all stretches in [start, end)."""
    return [start.unix_s + n * step_s for n in range(round((end.unix_s - start.unix_s) / step_s))]
