"""Transcripts and cache entries, as version 0.1 made them; its databases are taken over."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")


def upgrade() -> None:
    there = sa.inspect(op.get_bind()).get_table_names()
    if "cache_entry" not in there:
        _create_cache()
    if "transcript" not in there:
        _create_transcripts()


def _create_cache() -> None:
    op.create_table(
        "cache_entry",
        sa.Column("key", sa.Text, primary_key=True, nullable=False),
        sa.Column("size", _NUMBER, nullable=False),
        sa.Column("created_at", _REAL, nullable=False),
        sa.Column("last_used_at", _REAL, nullable=False),
        sa.Column("expires_at", _REAL),
        sa.Column("hits", _NUMBER, nullable=False, server_default=sa.text("0")),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_index("cache_entry_last_used_at", "cache_entry", ["last_used_at"])


def _create_transcripts() -> None:
    op.create_table(
        "transcript",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("request_key", sa.Text, nullable=False),
        sa.Column("file_hash", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("duration_s", _REAL, nullable=False),
        sa.Column("created_at", _REAL, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("speed", _REAL),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    for name, columns in (
        ("transcript_request", ["request_key", "status", "created_at", "number"]),
        ("transcript_created_at", ["created_at", "number"]),
        ("transcript_file_hash", ["file_hash"]),
    ):
        op.create_index(name, "transcript", columns)
    measured = sa.text("speed IS NOT NULL")
    op.create_index(
        "transcript_speed",
        "transcript",
        ["engine", "created_at"],
        sqlite_where=measured,
        postgresql_where=measured,
    )


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS schema_version")
    op.drop_table("transcript")
    op.drop_table("cache_entry")
