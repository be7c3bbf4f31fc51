"""Frames, rules and reports for the tests of monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.aggregation import Figure, Measure
from stretto.contexts.monitoring.alerts import AlertRule, Threshold
from stretto.contexts.monitoring.frames import STEP_S, Frame, ProcessReport
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.sketch import Sketch

START = 1_000_000.0


def a_frame(at: float, values: Mapping[str, float] | None = None, **timed: Any) -> Frame:
    """``timed`` names a timer and the amounts: ``gateway_latency=[0.1]``."""
    sketches = {k.replace("_", ".", 1): Sketch.of(v) for k, v in timed.items()}
    step_s = STEP_S
    return Frame(step_s=step_s, start=Timestamp(at), reading=Reading(values or {}, sketches))


def a_report(name: str = "p1", *, at: float = START, **fields: Any) -> ProcessReport:
    given: dict[str, Any] = {"role": "worker", "host": "h", "pid": 1, "reading": Reading()}
    return ProcessReport(id=name, at=Timestamp(at), **(given | fields))


def a_rule(name: str = "dead-letters", **fields: Any) -> AlertRule:
    given: dict[str, Any] = {
        "figure": Figure(metric="queue.dead_letters", measure=Measure.LAST),
        "threshold": Threshold(above=0),
        "summary": "Jobs were given up.",
        "action": "Look at them.",
    }
    return AlertRule(name=name, **(given | fields))
