"""Alert rules, and how an alert goes from calm to firing and back. Pure: time is passed in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.aggregation import Figure

NEVER: Final = Timestamp(0.0)

USUAL_S: Final = 24 * 3600
"""What is usual is told by the day before."""


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Exceeded ``above`` or ``below`` a value; exactly one is given.

    An alert that fires ends only past ``clear``, so that a value that trembles at the threshold
    does not ring again and again. ``of_usual`` says that the value is a multiple of what is usual.
    """

    above: float | None = None
    below: float | None = None
    clear: float | None = None
    of_usual: bool = False

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise InvalidOption("A threshold is either above or below a value.")
        clear = self.value if self.clear is None else self.clear
        if clear > self.value if self.above is not None else clear < self.value:
            raise InvalidOption("clear lies on the other side of the threshold.")

    @property
    def value(self) -> float:
        return self.above if self.above is not None else self.below or 0.0

    def exceeded(self, value: float, *, firing: bool) -> bool:
        limit = self.clear if firing and self.clear is not None else self.value
        return value > limit if self.above is not None else value < limit


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """When to tell somebody. The figure is that of the last ``window_s`` seconds, and has to exceed
    the threshold for ``for_s``; with fewer than ``least`` recorded, nothing is said."""

    name: str
    figure: Figure
    threshold: Threshold
    summary: str
    action: str
    severity: Severity = Severity.WARNING
    group: str = ""
    window_s: int = 60
    for_s: int = 0
    least: float = 0.0


class AlertStatus(StrEnum):
    CALM = "calm"
    PENDING = "pending"
    FIRING = "firing"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """``version`` counts the changes: whoever changes it says which one it saw. ``since`` is when
    the status began, ``incidents`` how often it has fired."""

    rule: str
    status: AlertStatus = AlertStatus.CALM
    since: Timestamp = NEVER
    value: float | None = None
    incidents: int = 0
    silenced_until: Timestamp = NEVER
    told: bool = False
    version: int = 0

    def is_silenced(self, now: Timestamp) -> bool:
        return now < self.silenced_until


def advanced(
    state: AlertState, rule: AlertRule, value: float | None, now: Timestamp
) -> AlertState | None:
    """The next state, or None when nothing changes but the value. Nothing recorded means that the
    condition does not hold. ``told`` remembers that people heard of the incident: one that began
    in silence is told when the silence ends, and one that ended in it never was."""
    firing = state.status is AlertStatus.FIRING
    holds = value is not None and rule.threshold.exceeded(value, firing=firing)
    status = _next(state, rule, now) if holds else AlertStatus.CALM
    changed = replace(state, value=value, version=state.version + 1)
    if status is not state.status:
        fires = status is AlertStatus.FIRING
        return replace(
            changed,
            status=status,
            since=now,
            incidents=state.incidents + fires,
            told=fires and not state.is_silenced(now),
        )
    if firing and not state.told and not state.is_silenced(now):
        return replace(changed, told=True)
    return None


def _next(state: AlertState, rule: AlertRule, now: Timestamp) -> AlertStatus:
    if state.status is AlertStatus.FIRING:
        return AlertStatus.FIRING
    began = now if state.status is AlertStatus.CALM else state.since
    waited_s = now.unix_s - began.unix_s
    return AlertStatus.FIRING if waited_s >= rule.for_s else AlertStatus.PENDING


def begins(before: AlertState, after: AlertState) -> bool:
    """Whether people are to be told that something is wrong."""
    return after.told and not before.told


def ends(before: AlertState, after: AlertState) -> bool:
    """Whether people are to be told that it is over: those who were told that it began."""
    return before.told and after.status is not AlertStatus.FIRING
