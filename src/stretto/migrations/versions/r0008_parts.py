"""Long jobs are divided into parts, which are jobs that no list shows unless they failed; and
whoever wants to be called when a job is over is owed a call."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_PLACE = ["created_at", "id"]
_LISTED = (
    ("created_at", _PLACE, "parent IS NULL"),
    ("status", ["status", *_PLACE], "(parent IS NULL OR status = 'failed')"),
)


def upgrade() -> None:
    nothing = sa.text("''")
    op.add_column(
        "queue_job", sa.Column("callback", sa.Text, nullable=False, server_default=nothing)
    )
    op.add_column("queue_job", sa.Column("parent", sa.Text))
    op.add_column("queue_job", sa.Column("division", sa.Text))
    for name, columns, condition in _LISTED:
        op.drop_index(f"queue_job_{name}", "queue_job")
        _create_index(name, columns, condition)
    _create_index("parent", ["parent"], "parent IS NOT NULL")
    op.create_table(
        "queue_webhook",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("job_id", "url", "body")),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float(53).with_variant(sa.REAL, "sqlite"), nullable=False),
    )
    op.create_index("queue_webhook_due", "queue_webhook", ["due_at"])


def downgrade() -> None:
    op.drop_table("queue_webhook")
    op.drop_index("queue_job_parent", "queue_job")
    op.execute("DELETE FROM queue_job WHERE parent IS NOT NULL")
    op.execute(_BEGIN_ANEW)
    for name, columns, _ in _LISTED:
        op.drop_index(f"queue_job_{name}", "queue_job")
        _create_index(name, columns, None)
    op.drop_column("queue_job", "division")
    op.drop_column("queue_job", "parent")
    op.drop_column("queue_job", "callback")


def _create_index(name: str, columns: list[str], condition: str | None) -> None:
    where = None if condition is None else sa.text(condition)
    op.create_index(
        f"queue_job_{name}", "queue_job", columns, sqlite_where=where, postgresql_where=where
    )


_BEGIN_ANEW = """
    UPDATE queue_job SET status = 'queued' WHERE status = 'processing' AND lease_until IS NULL
"""
"""What waited for its parts is done in one."""
