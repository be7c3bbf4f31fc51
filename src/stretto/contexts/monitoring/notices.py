"""What people are told: which alerts of a group began and which are over, as one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stretto.contexts.core.events import AlertNotice, AlertsChanged
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.alerts import AlertRule, AlertState, begins, ends

__all__ = ["AlertNotice", "AlertsChanged", "notices_of", "subject_of", "text_of"]


@dataclass(frozen=True, slots=True)
class Changed:
    """An alert before and after."""

    before: AlertState
    after: AlertState


def notices_of(
    changes: Iterable[Changed], rules: Mapping[str, AlertRule], *, at: Timestamp
) -> list[AlertsChanged]:
    """One for each group in which an alert begins or ends."""
    groups: dict[str, list[AlertNotice]] = {}
    for change in changes:
        rule = rules.get(change.after.rule)
        news = begins(change.before, change.after) or ends(change.before, change.after)
        if rule is None or not news:
            continue
        groups.setdefault(rule.group or rule.name, []).append(
            AlertNotice(
                rule=rule.name,
                severity=rule.severity.value,
                firing=begins(change.before, change.after),
                value=change.after.value,
                threshold=rule.threshold.value,
                summary=rule.summary,
                action=rule.action,
            )
        )
    return [
        AlertsChanged(at=at, group=group, alerts=tuple(alerts)) for group, alerts in groups.items()
    ]


def subject_of(notice: AlertsChanged) -> str:
    """Example: ``Stretto: queue: 1 alert (dead-letters)``."""
    firing = [alert.rule for alert in notice.alerts if alert.firing]
    if not firing:
        return f"Stretto: {notice.group}: over ({', '.join(a.rule for a in notice.alerts)})"
    many = "alert" if len(firing) == 1 else "alerts"
    return f"Stretto: {notice.group}: {len(firing)} {many} ({', '.join(firing)})"


def text_of(notice: AlertsChanged) -> str:
    """A few lines for people."""
    return "\n".join(_line(alert) for alert in notice.alerts)


def _line(alert: AlertNotice) -> str:
    value = "nothing recorded" if alert.value is None else f"{alert.value:.4g}"
    if not alert.firing:
        return f"OVER: {alert.rule}: {alert.summary} (now {value})"
    return (
        f"{alert.severity.upper()}: {alert.rule}: {alert.summary} "
        f"({value}, threshold {alert.threshold:g})\n  What to do: {alert.action}"
    )
