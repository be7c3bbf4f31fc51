"""What the advisers remember: slow statements, and what was asked for row by row."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "slow_statement",
        sa.Column("key", sa.String(64), primary_key=True, nullable=False),
        sa.Column("shape", sa.Text, nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("total_ms", sa.Float, nullable=False),
        sa.Column("worst_ms", sa.Float, nullable=False),
        sa.Column("rows", sa.Integer),
        sa.Column("last_seen_s", sa.Float, nullable=False),
    )
    op.create_table(
        "learned_loading",
        sa.Column("key", sa.String(64), primary_key=True, nullable=False),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("most_statements", sa.Integer, nullable=False),
        sa.Column("last_seen_s", sa.Float, nullable=False),
    )
    op.create_table(
        "repeated_statement",
        sa.Column("key", sa.String(64), primary_key=True, nullable=False),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("shape", sa.Text, nullable=False),
        sa.Column("most_statements", sa.Integer, nullable=False),
        sa.Column("last_seen_s", sa.Float, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("repeated_statement")
    op.drop_table("learned_loading")
    op.drop_table("slow_statement")
