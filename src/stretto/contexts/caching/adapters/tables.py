"""The cache's table as SQLAlchemy sees it: what the migrations have to arrive at."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")

cache_entry = sa.Table(
    "cache_entry",
    metadata,
    sa.Column("key", sa.Text, primary_key=True, nullable=False),
    sa.Column("size", _NUMBER, nullable=False),
    sa.Column("created_at", _REAL, nullable=False),
    sa.Column("last_used_at", _REAL, nullable=False),
    sa.Column("expires_at", _REAL),
    sa.Column("hits", _NUMBER, nullable=False, server_default=sa.text("0")),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sa.Column("source", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Index(
        "cache_entry_last_used_at",
        "last_used_at",
        info={
            "serves": "Finds the cached answers that were not used for longest.",
            "query": "SELECT key FROM cache_entry ORDER BY last_used_at LIMIT :n",
        },
    ),
    sa.Index(
        "cache_entry_source",
        "source",
        info={
            "serves": "Finds the cached answers that the audio of a file gave.",
            "query": "DELETE FROM cache_entry WHERE source = :source",
        },
    ),
)
"""``source`` is the file whose audio gave the answer: what is deleted with its transcripts."""
