"""The documents of monitoring as schemas: the charts with their data, and the alerts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from stretto.interfaces.http.schemas import Moment

EXPOSITION = """# HELP stretto_queue_depth Jobs that wait.
# TYPE stretto_queue_depth gauge
stretto_queue_depth{priority="high"} 0
"""


class Line(BaseModel):
    """A line of a chart; null where nothing was recorded."""

    name: str = Field(examples=["p95"])
    values: list[float | None] = Field(examples=[[0.5, 0.7, None]])


class Chart(BaseModel):
    """All lines have a value for each step."""

    id: str = Field(examples=["wait-until-taken"])
    title: str = Field(examples=["Wait until taken"])
    unit: str = Field(examples=["seconds"])
    lines: list[Line]


class Row(BaseModel):
    """Charts that belong together."""

    title: str = Field(examples=["Queue"])
    charts: list[Chart]


class Alert(BaseModel):
    """How a rule stands. ``since`` is when it came to stand like this, ``value`` what its figure
    is, and ``incidents`` how often it has fired."""

    rule: str = Field(examples=["dead-letters"])
    group: str = Field(examples=["queue"])
    severity: Literal["warning", "critical"]
    status: Literal["calm", "pending", "firing"]
    since: Moment | None
    value: float | None
    threshold: float
    incidents: Annotated[int, Field(ge=0)]
    silenced_until: Moment | None
    summary: str = Field(examples=["Jobs were given up and wait for somebody."])
    action: str = Field(examples=["Look at them: stretto dlq list"])


class Alerts(BaseModel):
    """One for each rule, those that fire first."""

    alerts: list[Alert]


class Dashboard(Alerts):
    """The charts from ``start`` to ``end``, in steps of ``step_s`` seconds, and the alerts."""

    title: str = Field(examples=["Stretto"])
    start: Moment
    end: Moment
    step_s: int = Field(examples=[60])
    rows: list[Row]
