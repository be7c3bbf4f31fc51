"""How often a job met a service in trouble is counted by itself: it waits longer for that."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    none = sa.text("0")
    op.add_column(
        "queue_job", sa.Column("outages", sa.Integer, nullable=False, server_default=none)
    )


def downgrade() -> None:
    op.drop_column("queue_job", "outages")
