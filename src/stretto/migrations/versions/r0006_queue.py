"""Jobs become the queue: claims with leases and fences, retries, priorities; and who works."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")
_PROCESSING = "status = 'processing'"
_INDEXES = (
    ("ready", ["priority", "run_at", "id"], "status = 'queued'"),
    ("lease", ["lease_boot", "lease_until"], _PROCESSING),
    ("holder", ["holder"], _PROCESSING),
    ("work", ["work_key"], _PROCESSING),
    ("request", ["request_key"], "request_key IS NOT NULL"),
    ("created_at", ["created_at", "id"], None),
    ("status", ["status", "created_at", "id"], None),
    ("transcript", ["transcript_id"], None),
)


def upgrade() -> None:
    op.create_table(
        "queue_job",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("file", "work", "work_key")),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        *(sa.Column(name, _REAL, nullable=False) for name in ("created_at", "updated_at")),
        sa.Column("run_at", _REAL, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("lease_until", _REAL),
        sa.Column("lease_boot", sa.Text, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("errors", "crashes")),
        sa.Column("crashes_since", _REAL),
        sa.Column("cancelling", sa.Integer, nullable=False),
        sa.Column("progress", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("transcript_id", "error", "cause")),
        sa.Column("request_key", sa.Text),
        sa.Column("request_digest", sa.Text, nullable=False),
    )
    for name, columns, condition in _INDEXES:
        where = None if condition is None else sa.text(condition)
        op.create_index(
            f"queue_job_{name}",
            "queue_job",
            columns,
            unique=name == "request",
            sqlite_where=where,
            postgresql_where=where,
        )
    op.create_table(
        "queue_worker",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("started_at", _REAL, nullable=False),
        sa.Column("lease_until", _REAL, nullable=False),
        sa.Column("lease_boot", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("queue_worker")
    op.drop_table("queue_job")
