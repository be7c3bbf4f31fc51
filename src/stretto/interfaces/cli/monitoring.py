"""Shows alerts, rules and series, and writes what other programs take."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.monitoring.aggregation import Figure, Measure
from stretto.contexts.monitoring.alerts import AlertRule
from stretto.contexts.monitoring.dashboards import DashboardGenerator
from stretto.contexts.monitoring.definitions import BY_NAME, METRICS
from stretto.contexts.monitoring.exporting import prometheus_rules
from stretto.contexts.monitoring.model import MetricKind, split_key
from stretto.contexts.monitoring.service import MonitoringService, described
from stretto.interfaces.cli.exit_codes import ExitCode
from stretto.interfaces.cli.transcripts import moment

USUAL_MEASURES: Final = {
    MetricKind.COUNTER: Measure.SUM,
    MetricKind.GAUGE: Measure.LAST,
    MetricKind.TIMER: Measure.P95,
}


def show_alerts(service: MonitoringService, *, every: bool, as_json: bool) -> int:
    alerts = [row for row in service.alerts() if every or row["status"] != "calm"]
    if as_json:
        print(json.dumps({"alerts": alerts}))
    for row in () if as_json else alerts:
        since = moment(row["since"]) if row["since"] else "-"
        silent = " (silenced)" if row["silenced_until"] else ""
        cells = (row["status"] + silent, row["severity"], row["rule"], since)
        print("\t".join((*cells, number(row["value"]), row["summary"])))
        if row["status"] == "firing":
            print(f"\t{row['action']}")
    if not alerts and not as_json:
        print("No alert holds.", file=sys.stderr)
    firing = any(row["status"] == "firing" for row in alerts)
    return ExitCode.FAILED if firing else ExitCode.COMPLETE


def show_rules(service: MonitoringService, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"rules": [described(rule) for rule in service.rules()]}))
        return
    for rule in service.rules():
        print(f"{rule.name}\t{rule.severity}\t{condition_in_words(rule)}\t{rule.summary}")


def condition_in_words(rule: AlertRule) -> str:
    """Example: ``p95 of gateway.latency in 300 s > 2 × usual``."""
    words = ",".join(f"{k}={'|'.join(v)}" for k, v in rule.figure.where.items())
    sign = ">" if rule.threshold.above is not None else "<"
    usual = " × usual" if rule.threshold.of_usual else ""
    lasting = f" for {rule.for_s} s" if rule.for_s else ""
    return (
        f"{rule.figure.measure} of {rule.figure.metric}{f'{{{words}}}' if words else ''} "
        f"in {rule.window_s} s {sign} {rule.threshold.value:g}{usual}{lasting}"
    )


def list_metrics(*, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "metric": one.name.value,
                "kind": one.kind.value,
                "unit": one.unit,
                "labels": {label: list(values) for label, values in one.labels.items()},
                "help": one.help,
            }
            for one in METRICS
        ]
        print(json.dumps({"metrics": rows}))
        return
    for one in METRICS:
        print(f"{one.name}\t{one.kind}\t{one.unit}\t{one.help}")


def show_series(
    service: MonitoringService, metric: str, *, measure: str | None, minutes: int, as_json: bool
) -> None:
    """A column for each series of the metric."""
    figures = _figures(metric, measure)
    found = service.series(list(figures.values()), 60.0 * minutes)
    if as_json:
        lines = [
            {"name": name, "values": [value for _, value in one.points]}
            for name, one in zip(figures, found, strict=True)
        ]
        times = [at.unix_s for at, _ in found[0].points]
        print(
            json.dumps({"metric": metric, "step_s": found[0].step_s, "at": times, "lines": lines})
        )
        return
    print("\t".join(("at", *figures)))
    for row in zip(*(one.points for one in found), strict=True):
        values = [value for _, value in row]
        if any(value is not None for value in values):
            print("\t".join((moment(row[0][0].unix_s), *map(number, values))))


def _figures(metric: str, measure: str | None) -> dict[str, Figure]:
    definition = BY_NAME.get(metric)
    if definition is None:
        raise InvalidOption(f"There is no metric {metric[:64]!r}. See: stretto monitoring series")
    if measure is not None and measure not in set(Measure):
        raise InvalidOption(f"--measure is one of {', '.join(Measure)}, not {measure[:32]!r}.")
    chosen = Measure(measure) if measure else USUAL_MEASURES[definition.kind]
    found: dict[str, Figure] = {}
    for key in definition.series():
        labels = split_key(key)[1]
        where = {label: (value,) for label, value in labels.items()}
        found[" ".join(labels.values()) or metric] = Figure(
            metric=metric, measure=chosen, where=where
        )
    return found


def silence_rule(service: MonitoringService, rule: str, *, minutes: int) -> None:
    service.silence(rule, 60.0 * minutes)
    print(f"{rule}: nobody is told for {minutes} minutes." if minutes else f"{rule}: told again.")


def export_as(
    what: str, *, rules: Callable[[], Sequence[AlertRule]], exposition: Callable[[], str]
) -> None:
    """Raises InvalidOption."""
    written: dict[str, Callable[[], str]] = {
        "grafana": lambda: json.dumps(grafana(), indent=2, ensure_ascii=False) + "\n",
        "prometheus": lambda: prometheus_rules(rules()),
        "metrics": exposition,
    }
    if what not in written:
        raise InvalidOption(f"There is {', '.join(written)} to export, not {what[:32]!r}.")
    sys.stdout.write(written[what]())


def grafana() -> dict[str, Any]:
    return DashboardGenerator().grafana()


def number(value: float | None) -> str:
    """Four digits, or a hyphen where nothing was recorded."""
    return "-" if value is None else f"{value:.4g}"
