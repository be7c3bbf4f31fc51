"""Looks whether the conditions of the rules hold, and tells of what has changed: once, however many
look at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.core.bus import Publish
from stretto.contexts.core.events import AlertResolved, AlertTriggered
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.aggregation import Aggregator
from stretto.contexts.monitoring.alerts import (
    USUAL_S,
    AlertRule,
    AlertState,
    AlertStatus,
    Severity,
    advanced,
)
from stretto.contexts.monitoring.frames import STEP_S, Frame, start_of
from stretto.contexts.monitoring.notices import Changed, notices_of
from stretto.contexts.monitoring.ports import AlertStates, Frames

USUAL_STEP_S: Final = 600
USUAL_FOR_S: Final = 60.0
"""What is usual is looked up again after so long."""


@dataclass(slots=True, kw_only=True)
class AlertEvaluator:
    """Its only memory is what is usual; everything else is in the database."""

    rules: tuple[AlertRule, ...]
    frames: Frames
    states: AlertStates
    publish: Publish
    _aggregator: Aggregator = field(default_factory=Aggregator)
    _usual: dict[str, tuple[Timestamp, float | None]] = field(default_factory=dict)

    def evaluate(self, now: Timestamp) -> tuple[Changed, ...]:
        """What changed, and was not changed by somebody else. Raises StorageUnavailable."""
        now = start_of(now, STEP_S)
        known = self.states.all()
        values = self._values(now)
        rules = {rule.name: rule for rule in self.rules}
        changes = []
        for rule in self.rules:
            before = known.get(rule.name) or AlertState(rule=rule.name)
            after = advanced(before, rule, values[rule.name], now)
            if after is not None:
                changes.append(Changed(before, after))
        changes += [
            Changed(state, calmed(state, now))  # its rule is gone, and so is what it said
            for name, state in known.items()
            if name not in rules and state.status is not AlertStatus.CALM
        ]
        made = self.states.change(changes, lambda those: notices_of(those, rules, at=now))
        self.states.note(values)
        self._publish(made, rules, now)
        return made

    def _publish(
        self, changes: Sequence[Changed], rules: dict[str, AlertRule], now: Timestamp
    ) -> None:
        for before, after in ((one.before, one.after) for one in changes):
            firing = after.status is AlertStatus.FIRING
            if firing == (before.status is AlertStatus.FIRING):
                continue
            if not firing:
                self.publish(AlertResolved(at=now, alert_rule_id=after.rule))
                continue
            self.publish(
                AlertTriggered(
                    at=now,
                    alert_rule_id=after.rule,
                    severity=rules[after.rule].severity.value,
                    metric_value=after.value or 0.0,
                    threshold=rules[after.rule].threshold.value,
                )
            )

    def _values(self, now: Timestamp) -> dict[str, float | None]:
        longest_s = max((rule.window_s for rule in self.rules), default=0)
        frames = self.frames.between(STEP_S, Timestamp(now.unix_s - longest_s), now)
        return {rule.name: self._value(rule, frames, now) for rule in self.rules}

    def _value(self, rule: AlertRule, frames: Sequence[Frame], now: Timestamp) -> float | None:
        recent = [one for one in frames if one.start.unix_s >= now.unix_s - rule.window_s]
        value = self._figure(rule, recent)
        if value is None or not rule.threshold.of_usual:
            return value
        usual = self._usual_of(rule, now)
        return value / usual if usual else None

    def _usual_of(self, rule: AlertRule, now: Timestamp) -> float | None:
        looked_at, usual = self._usual.get(rule.name, (Timestamp(0.0), None))
        if abs(now.unix_s - looked_at.unix_s) >= USUAL_FOR_S:
            start = Timestamp(now.unix_s - USUAL_S)
            until = Timestamp(now.unix_s - rule.window_s)
            usual = self._figure(rule, self.frames.between(USUAL_STEP_S, start, until))
            self._usual[rule.name] = (now, usual)
        return usual

    def _figure(self, rule: AlertRule, frames: Sequence[Frame]) -> float | None:
        if rule.least and self._aggregator.count(rule.figure, frames) < rule.least:
            return None
        return self._aggregator.figure(rule.figure, frames)


def firing_of(rules: Sequence[AlertRule], states: AlertStates) -> dict[str, float]:
    """The gauges that say how many alerts fire, by their keys."""
    known = states.all()
    counts = dict.fromkeys(Severity, 0.0)
    for rule in rules:
        state = known.get(rule.name)
        counts[rule.severity] += state is not None and state.status is AlertStatus.FIRING
    return {f"alerts.firing{{severity={severity}}}": n for severity, n in counts.items()}


def calmed(state: AlertState, now: Timestamp) -> AlertState:
    """What becomes of an alert whose rule was removed."""
    return AlertState(
        rule=state.rule,
        since=now,
        incidents=state.incidents,
        silenced_until=state.silenced_until,
        version=state.version + 1,
    )
