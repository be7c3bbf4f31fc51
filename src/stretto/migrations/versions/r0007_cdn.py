"""What is published on the CDN, and what is still to be sent or deleted there."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")


def upgrade() -> None:
    none, nothing = sa.text("0"), sa.text("''")
    op.create_table(
        "cdn_asset",
        sa.Column("key", sa.Text, primary_key=True, nullable=False),
        sa.Column("transcript_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", _NUMBER, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", _REAL, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("store", sa.Text, nullable=False, server_default=nothing),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=none),
        sa.Column("trouble", sa.Text, nullable=False, server_default=nothing),
        sa.Column("due_at", _REAL, nullable=False, server_default=none),
        sa.Column("holder", sa.Text, nullable=False, server_default=nothing),
        sa.Column("held_until", _REAL, nullable=False, server_default=none),
    )
    op.create_index("cdn_asset_transcript", "cdn_asset", ["transcript_id", "kind"])
    where = sa.text("state <> 'stored'")
    op.create_index(
        "cdn_asset_waiting", "cdn_asset", ["key"], sqlite_where=where, postgresql_where=where
    )


def downgrade() -> None:
    op.drop_table("cdn_asset")
