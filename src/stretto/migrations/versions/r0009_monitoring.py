"""What processes measure, the series that come of it, and how alerts stand."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")


def upgrade() -> None:
    op.create_table(
        "metric_process",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("reported_at", _REAL, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reading", sa.Text, nullable=False),
    )
    op.create_table(
        "metric_kept",
        sa.Column("name", sa.Text, primary_key=True, nullable=False),
        sa.Column("ticked_at", _REAL, nullable=False),
        sa.Column("ended", sa.Text, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
    )
    op.create_table(
        "metric_frame",
        sa.Column("step_s", sa.Integer, primary_key=True, nullable=False),
        sa.Column("starts_at", _REAL, primary_key=True, nullable=False),
        sa.Column("reading", sa.Text, nullable=False),
    )
    op.create_table(
        "alert_state",
        sa.Column("rule", sa.Text, primary_key=True, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("since", _REAL, nullable=False),
        sa.Column("value", _REAL),
        sa.Column("incidents", sa.Integer, nullable=False),
        sa.Column("silenced_until", _REAL, nullable=False),
        sa.Column("told", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    for table in ("alert_state", "metric_frame", "metric_kept", "metric_process"):
        op.drop_table(table)
