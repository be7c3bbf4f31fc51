"""Everything in Prometheus' words: the text that it scrapes, and the names and expressions that
rules and dashboards use. Text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stretto.contexts.monitoring.aggregation import PERCENTILES, Figure, Measure
from stretto.contexts.monitoring.definitions import BY_NAME, METRICS
from stretto.contexts.monitoring.model import Across, MetricDefinition, MetricKind, split_key
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.sketch import Sketch

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

BOUNDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0),
    *(100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0),
)
"""Where the histograms of timers are cut, in seconds."""

_UNITS: Final = frozenset({"seconds", "bytes", "ratio"})
_JOIN: Final = {Across.SUM: "sum", Across.HIGHEST: "max", Across.LOWEST: "min"}
_TYPES: Final = {
    MetricKind.COUNTER: "counter",
    MetricKind.GAUGE: "gauge",
    MetricKind.TIMER: "histogram",
}


def name_of(definition: MetricDefinition) -> str:
    """Example: ``cache.saved`` in seconds is ``stretto_cache_saved_seconds_total``."""
    name = "stretto_" + definition.name.value.replace(".", "_")
    if definition.unit in _UNITS and not name.endswith(f"_{definition.unit}"):
        name += f"_{definition.unit}"
    return f"{name}_total" if definition.kind is MetricKind.COUNTER else name


def exposition(reading: Reading) -> str:
    """Every series of the table, whether something was recorded or not, and no other: counters and
    histograms begin with 0, so that their first growth is seen."""
    return "\n".join(line for one in METRICS for line in _family(one, reading)) + "\n"


def _family(definition: MetricDefinition, reading: Reading) -> Iterable[str]:
    name = name_of(definition)
    yield f"# HELP {name} {definition.help}"
    yield f"# TYPE {name} {_TYPES[definition.kind]}"
    for key in definition.series():
        labels = split_key(key)[1]
        if definition.kind is MetricKind.TIMER:
            yield from _histogram(name, labels, reading.sketches.get(key, Sketch()))
        elif key in reading.values or definition.kind is MetricKind.COUNTER:
            yield f"{name}{_written(labels)} {_number(reading.values.get(key, 0.0))}"


def _histogram(name: str, labels: Mapping[str, str], sketch: Sketch) -> Iterable[str]:
    for bound in BOUNDS:
        within = {**labels, "le": f"{bound:g}"}
        yield f"{name}_bucket{_written(within)} {_number(sketch.up_to(bound))}"
    yield f"{name}_bucket{_written({**labels, 'le': '+Inf'})} {_number(sketch.count)}"
    yield f"{name}_sum{_written(labels)} {_number(sketch.total)}"
    yield f"{name}_count{_written(labels)} {_number(sketch.count)}"


def _written(labels: Mapping[str, str]) -> str:
    words = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{{{words}}}" if words else ""


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def expression(figure: Figure, *, window: str, offset: str = "") -> str:
    """The figure over ``window``, such as 5m, in PromQL. Each endpoint tells of the whole fleet:
    of several that are scraped, the one that is furthest counts."""
    definition = BY_NAME[figure.metric]
    name = name_of(definition)
    chosen = _selector(figure.where)
    back = f" offset {offset}" if offset else ""
    once = "max without (instance, job)"
    if definition.kind is MetricKind.GAUGE:
        over = f"{name}{chosen}{back}"
        if figure.measure is Measure.AVERAGE:
            over = f"avg_over_time({name}{chosen}[{window}]{back})"
        return f"{_JOIN[definition.across]}({once} ({over}))"
    if figure.measure in PERCENTILES:
        share = PERCENTILES[figure.measure].value / 100
        grown = f"rate({name}_bucket{chosen}[{window}]{back})"
        return f"histogram_quantile({share:g}, sum by (le) ({once} ({grown})))"
    if figure.measure is Measure.AVERAGE:
        spent, count = (
            f"sum({once} (rate({name}_{part}{chosen}[{window}]{back})))"
            for part in ("sum", "count")
        )
        return f"{spent} / {count}"
    function = "increase" if figure.measure is Measure.SUM else "rate"
    counted = f"{name}_count" if definition.kind is MetricKind.TIMER else name
    grown = f"sum({once} ({function}({counted}{chosen}[{window}]{back})))"
    if figure.measure is Measure.SHARE:
        whole = f"{counted}{_selector(figure.among)}[{window}]{back}"
        return f"{grown} / sum({once} (rate({whole})))"
    return grown


def count_expression(figure: Figure, *, window: str) -> str:
    """How much was recorded of what the figure is of."""
    definition = BY_NAME[figure.metric]
    counted = name_of(definition) + ("_count" if definition.kind is MetricKind.TIMER else "")
    chosen = _selector(figure.among or figure.where)
    return f"sum(max without (instance, job) (increase({counted}{chosen}[{window}])))"


def _selector(where: Mapping[str, tuple[str, ...]]) -> str:
    words = ",".join(f'{label}=~"{"|".join(values)}"' for label, values in where.items())
    return f"{{{words}}}" if words else ""
