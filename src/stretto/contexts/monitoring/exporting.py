"""The same rules and charts for those who have Prometheus: rule files as text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from stretto.contexts.monitoring.aggregation import PERCENTILES, Figure
from stretto.contexts.monitoring.alerts import AlertRule
from stretto.contexts.monitoring.dashboards import DASHBOARD, Dashboard
from stretto.contexts.monitoring.definitions import BY_NAME
from stretto.contexts.monitoring.prometheus import count_expression, expression, name_of

RECORDED_WINDOW: Final = "5m"
_HEADER: Final = "# Made by: stretto monitoring export prometheus\n"


def recorded_name(figure: Figure) -> str:
    """Example: ``stretto_gateway_latency_seconds:p95_5m``."""
    name = name_of(BY_NAME[figure.metric]).removesuffix("_total")
    words = "".join(f"_{'_'.join(v)}" for v in figure.where.values()).replace("-", "_")
    return f"{name}{words}:{figure.measure.value}_{RECORDED_WINDOW}"


def recorded_figures(dashboard: Dashboard = DASHBOARD) -> dict[str, Figure]:
    """What the charts ask for that is dear to compute: percentiles, by the name to record as."""
    figures = (line.figure for row in dashboard.rows for c in row.charts for line in c.lines)
    return {recorded_name(f): f for f in figures if f.measure in PERCENTILES}


def prometheus_rules(rules: Iterable[AlertRule], *, dashboard: Dashboard = DASHBOARD) -> str:
    """A rule file: percentiles of the charts as recording rules, and an alert for each rule."""
    lines = [_HEADER + "groups:", "  - name: stretto-recorded", "    rules:"]
    for name, figure in recorded_figures(dashboard).items():
        lines += [
            f"      - record: {name}",
            f"        expr: {json.dumps(expression(figure, window=RECORDED_WINDOW))}",
        ]
    lines += ["  - name: stretto-alerts", "    rules:"]
    for rule in rules:
        lines += _alert(rule)
    return "\n".join(lines) + "\n"


def _alert(rule: AlertRule) -> list[str]:
    lines = [
        f"      - alert: {alert_name(rule.name)}",
        f"        expr: {json.dumps(condition(rule))}",
    ]
    if rule.for_s:
        lines.append(f"        for: {rule.for_s}s")
    return [
        *lines,
        "        labels:",
        f"          severity: {rule.severity}",
        f"          rule: {rule.name}",
        "        annotations:",
        f"          summary: {json.dumps(_plain(rule.summary), ensure_ascii=False)}",
        f"          description: {json.dumps(_plain(rule.action), ensure_ascii=False)}",
    ]


def condition(rule: AlertRule) -> str:
    """Prometheus has no hysteresis: there the alert ends at the threshold."""
    window = f"{rule.window_s}s"
    value = expression(rule.figure, window=window)
    if rule.threshold.of_usual:
        usual = expression(rule.figure, window="1d", offset=window)
        value = f"({value}) / ({usual})"
    sign = ">" if rule.threshold.above is not None else "<"
    holds = f"({value}) {sign} {rule.threshold.value:g}"
    if rule.least:
        holds += f" and {count_expression(rule.figure, window=window)} >= {rule.least:g}"
    return holds


def alert_name(rule: str) -> str:
    """Example: ``dead-letters`` is ``StrettoDeadLetters``."""
    return "Stretto" + "".join(word.capitalize() for word in rule.split("-"))


def _plain(text: str) -> str:
    """Prometheus expands templates in annotations."""
    return text.replace("{{", "{ {")
