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
        sa.Column("crashed_after", sa.Integer, nullable=False),
        sa.Column("cancelling", sa.Integer, nullable=False),
        sa.Column("progress", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("transcript_id", "error", "cause")),
        sa.Column("request_key", sa.Text),
        sa.Column("request_digest", sa.Text, nullable=False),
    )
    op.execute(_TAKE_OVER.format(error=_ERRORS[op.get_bind().dialect.name]))
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
    op.drop_table("processing_job")


def downgrade() -> None:
    op.create_table(
        "processing_job",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", _REAL, nullable=False),
        sa.Column("updated_at", _REAL, nullable=False),
        sa.Column("transcript_id", sa.Text),
        sa.Column("error_kind", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("error", sa.Text, nullable=False, server_default=sa.text("''")),
    )
    op.execute(_GIVE_BACK)
    for name, columns in (
        ("processing_job_created_at", ["created_at", "id"]),
        ("processing_job_status", ["status", "created_at", "id"]),
        ("processing_job_transcript", ["transcript_id"]),
    ):
        op.create_index(name, "processing_job", columns)
    op.drop_table("queue_worker")
    op.drop_table("queue_job")


_ERRORS = {
    "sqlite": "json_object('kind', error_kind, 'message', error)",
    "postgresql": "json_build_object('kind', error_kind, 'message', error)::text",
}
_TAKE_OVER = """
    INSERT INTO queue_job (
        id, file, work, work_key, priority, status, created_at, updated_at, run_at, fence, holder,
        lease_boot, errors, crashes, crashed_after, cancelling, progress, transcript_id, error,
        cause, request_digest
    )
    SELECT
        id, file, '{{"path":""}}', id, 1,
        CASE WHEN status IN ('queued', 'processing') THEN 'cancelled' ELSE status END,
        created_at, updated_at, created_at, 0, '', '', 0, 0, 0, 0, '{{}}', transcript_id,
        CASE WHEN status = 'failed' THEN {error} END,
        CASE WHEN status = 'failed' THEN 'refused' END, ''
    FROM processing_job
"""
"""They lived and ended with a process, and did not know where their file was: those that were not
done then are cancelled."""

_GIVE_BACK = """
    INSERT INTO processing_job (id, file, status, created_at, updated_at, transcript_id)
    SELECT id, file, status, created_at, updated_at, transcript_id FROM queue_job
"""
