"""The outbox: events that are rows of the transaction that they report."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")


def upgrade() -> None:
    _create_events()
    op.create_table(
        "outbox_receipt",
        sa.Column("consumer", sa.Text, primary_key=True, nullable=False),
        sa.Column("event_id", sa.Text, primary_key=True, nullable=False),
        sa.Column("received_at", _REAL, nullable=False),
    )
    op.create_index("outbox_receipt_received_at", "outbox_receipt", ["received_at"])
    op.create_table(
        "outbox_lease",
        sa.Column("name", sa.Text, primary_key=True, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", _REAL, nullable=False),
    )


def _create_events() -> None:
    op.create_table(
        "outbox_event",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", _REAL, nullable=False),
        sa.Column("delivered_at", _REAL),
    )
    op.create_index("outbox_event_stream", "outbox_event", ["stream", "number"])
    for name, column, condition in (
        ("outbox_event_waiting", "number", "delivered_at IS NULL"),
        ("outbox_event_delivered_at", "delivered_at", "delivered_at IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, "outbox_event", [column], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_table("outbox_lease")
    op.drop_table("outbox_receipt")
    op.drop_table("outbox_event")
