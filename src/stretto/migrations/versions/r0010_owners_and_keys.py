"""Whose jobs and transcripts are whose, and the keys by which a server knows their owners."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0007"

_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")


def upgrade() -> None:
    nobody = sa.text("''")
    op.add_column("queue_job", sa.Column("owner", sa.Text, nullable=False, server_default=nobody))
    op.create_index("queue_job_owner", "queue_job", ["owner", "created_at", "id"])
    op.add_column("transcript", sa.Column("owner", sa.Text, nullable=False, server_default=nobody))
    op.create_index("transcript_owner", "transcript", ["owner", "created_at", "number"])
    op.create_table(
        "access_key",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False, unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", _REAL, nullable=False),
        sa.Column("revoked_at", _REAL),
    )


def downgrade() -> None:
    op.drop_table("access_key")
    op.drop_index("transcript_owner")
    op.drop_column("transcript", "owner")
    op.drop_index("queue_job_owner")
    op.drop_column("queue_job", "owner")
