"""The tables of monitoring as SQLAlchemy sees them: what the migrations have to arrive at."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")

metric_process = sa.Table(
    "metric_process",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("reported_at", _REAL, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reading", sa.Text, nullable=False),
)
"""As many rows as there are processes; ``reading`` is JSON."""

metric_kept = sa.Table(
    "metric_kept",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, nullable=False),
    sa.Column("ticked_at", _REAL, nullable=False),
    sa.Column("ended", sa.Text, nullable=False),
    sa.Column("told", sa.Text, nullable=False),
)
"""One row: what the last tick kept for the next one."""

metric_frame = sa.Table(
    "metric_frame",
    metadata,
    sa.Column("step_s", sa.Integer, primary_key=True, nullable=False),
    sa.Column("starts_at", _REAL, primary_key=True, nullable=False),
    sa.Column("reading", sa.Text, nullable=False),
)

alert_state = sa.Table(
    "alert_state",
    metadata,
    sa.Column("rule", sa.Text, primary_key=True, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("since", _REAL, nullable=False),
    sa.Column("value", _REAL),
    sa.Column("incidents", sa.Integer, nullable=False),
    sa.Column("silenced_until", _REAL, nullable=False),
    sa.Column("told", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)
"""One row for each rule that ever had something to say."""
