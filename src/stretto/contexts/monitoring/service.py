"""Monitoring for those who look: the text for Prometheus, the data of the charts, the alerts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.aggregation import Figure, MetricSeries, series_of
from stretto.contexts.monitoring.alerts import AlertRule, AlertState, AlertStatus
from stretto.contexts.monitoring.charting import ChartPoints
from stretto.contexts.monitoring.dashboards import DashboardGenerator
from stretto.contexts.monitoring.evaluating import AlertEvaluator
from stretto.contexts.monitoring.frames import LONGEST_S, start_of, step_for
from stretto.contexts.monitoring.keeping import Keeper, standing
from stretto.contexts.monitoring.notices import Changed
from stretto.contexts.monitoring.ports import AlertStates, Frames, Reports
from stretto.contexts.monitoring.prometheus import exposition
from stretto.contexts.monitoring.reading import Reading

POINTS: Final = 180
"""At most so many in a chart: an hour in steps of a minute, a day in steps of ten minutes. What is
longer than six weeks is shown by days."""

LONGEST_SILENCE_S: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringService:
    """Everything comes from the database, so that each process tells the same. All methods raise
    StorageUnavailable."""

    reports: Reports
    frames: Frames
    states: AlertStates
    keeper: Keeper
    evaluator: AlertEvaluator
    clock: Callable[[], Timestamp]
    generator: DashboardGenerator
    points: ChartPoints

    def tick(self) -> None:
        """Make the frame that is due and look after the alerts: every ten seconds, by anybody."""
        now = self.clock()
        if self.keeper.tick(now) is not None:
            self.evaluator.evaluate(now)

    def reading(self) -> Reading:
        """Where all series of all processes stand now."""
        reports, kept = self.reports.standing()
        return standing(reports, kept, Reading(self.keeper.sample()), self.clock())

    def exposition(self) -> str:
        """For Prometheus. It tells of all processes of the database, those that are dead included:
        counters never fall, and whichever process is asked gives the same answer."""
        return exposition(self.reading())

    def dashboard(self, span_s: float = 3600.0) -> dict[str, Any]:
        """The data of the charts for the last ``span_s`` seconds, and the alerts: fit for JSON.

        Raises InvalidOption for a span below a minute or above 400 days.
        """
        start, end, step_s = self._stretch(span_s)
        points = self.points.between(step_s, start, end)
        data = self.generator.data(points, step_s=step_s, start=start, end=end)
        return {**data, "alerts": self.alerts()}

    def series(self, figures: Sequence[Figure], span_s: float) -> list[MetricSeries]:
        """``figures`` over the last ``span_s`` seconds. Raises InvalidOption."""
        start, end, step_s = self._stretch(span_s)
        frames = self.frames.between(step_s, start, end)
        return series_of(figures, frames, step_s=step_s, start=start, end=end)

    def rules(self) -> tuple[AlertRule, ...]:
        return self.evaluator.rules

    def alerts(self) -> list[dict[str, Any]]:
        """Each rule and how it stands, those that fire first: fit for JSON."""
        known, now = self.states.all(), self.clock()
        rows = [_row(rule, known.get(rule.name), now) for rule in self.rules()]
        order = {status.value: n for n, status in enumerate(reversed(AlertStatus))}
        return sorted(rows, key=lambda row: (order[row["status"]], row["rule"]))

    def silence(self, rule: str, seconds: float) -> None:
        """Tell nobody of the rule for so long; 0 ends the silence. Raises InvalidOption."""
        if rule not in {one.name for one in self.rules()}:
            raise InvalidOption(f"There is no rule {rule[:64]!r}. See: stretto monitoring rules")
        if not 0 <= seconds <= LONGEST_SILENCE_S:
            raise InvalidOption("A silence lasts at most 30 days.")
        until = Timestamp(self.clock().unix_s + seconds) if seconds else Timestamp(0.0)
        while True:
            before = self.states.all().get(rule) or AlertState(rule=rule)
            after = replace(before, silenced_until=until, version=before.version + 1)
            if self.states.change([Changed(before, after)], lambda _: ()):
                return

    def _stretch(self, span_s: float) -> tuple[Timestamp, Timestamp, int]:
        if not 60 <= span_s <= LONGEST_S:
            raise InvalidOption(f"A chart is of 60 to {LONGEST_S} seconds, not {span_s:g}.")
        step_s = step_for(span_s, points=POINTS)
        end = start_of(self.clock(), step_s)
        return start_of(Timestamp(end.unix_s - span_s), step_s), end, step_s


def _row(rule: AlertRule, state: AlertState | None, now: Timestamp) -> dict[str, Any]:
    known = state or AlertState(rule=rule.name)
    return {
        "rule": rule.name,
        "group": rule.group or rule.name,
        "severity": rule.severity.value,
        "status": known.status.value,
        "since": known.since.unix_s or None,
        "value": known.value,
        "threshold": rule.threshold.value,
        "incidents": known.incidents,
        "silenced_until": known.silenced_until.unix_s if known.is_silenced(now) else None,
        "summary": rule.summary,
        "action": rule.action,
    }


def described(rule: AlertRule) -> dict[str, Any]:
    """A rule as JSON shows it."""
    shown = {one.name: getattr(rule, one.name) for one in fields(rule)}
    figure = {name: getattr(rule.figure, name) for name in ("metric", "measure", "where", "among")}
    return {**shown, "figure": figure, "threshold": asdict(rule.threshold)}
