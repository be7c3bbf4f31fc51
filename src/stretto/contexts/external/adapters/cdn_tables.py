"""The table of the CDN as SQLAlchemy sees it: what the migrations have to arrive at."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")
_NOT_STORED = sa.text("state <> 'stored'")

cdn_asset = sa.Table(
    "cdn_asset",
    metadata,
    sa.Column("key", sa.Text, primary_key=True, nullable=False),
    sa.Column("transcript_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("size_bytes", _NUMBER, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_at", _REAL, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("store", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("trouble", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("due_at", _REAL, nullable=False, server_default=sa.text("0")),
    sa.Column("holder", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("held_until", _REAL, nullable=False, server_default=sa.text("0")),
    sa.Index(
        "cdn_asset_transcript",
        *("transcript_id", "kind"),
        info={
            "serves": "Finds what was published of a transcript.",
            "query": "SELECT key FROM cdn_asset WHERE transcript_id = :transcript_id",
        },
    ),
    sa.Index(
        "cdn_asset_waiting",
        "key",
        sqlite_where=_NOT_STORED,
        postgresql_where=_NOT_STORED,
        info={
            "serves": "Finds what is still to be sent to the CDN, or to be deleted there.",
            "query": "SELECT key FROM cdn_asset WHERE state <> 'stored' AND key > :after "
            "ORDER BY key LIMIT 1",
        },
    ),
)
"""``due_at`` is when it may be worked on next; ``holder`` works on it until ``held_until``."""
