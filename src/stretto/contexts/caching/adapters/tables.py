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
    sa.Column("epoch", _NUMBER, nullable=False, server_default=sa.text("0")),
    sa.Column("engine", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("model", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("grain", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("scope", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("tag", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("speech_s", _REAL, nullable=False, server_default=sa.text("0")),
    sa.Index(
        "cache_entry_last_used_at",
        *("last_used_at", "size", "speech_s"),
        info={
            "serves": "Finds the cached answers that were not used for longest, and their size.",
            "query": "SELECT key, size FROM cache_entry ORDER BY last_used_at LIMIT :n",
        },
    ),
    sa.Index(
        "cache_entry_hits",
        *("hits", "last_used_at"),
        info={
            "serves": "Finds the cached answers that are used most.",
            "query": "SELECT key FROM cache_entry ORDER BY hits DESC, last_used_at DESC LIMIT :n",
        },
    ),
    sa.Index(
        "cache_entry_engine",
        *("engine", "model"),
        info={
            "serves": "Finds the cached answers that an engine and a model gave.",
            "query": "SELECT key FROM cache_entry WHERE engine = :engine AND model = :model",
        },
    ),
    sa.Index(
        "cache_entry_tag",
        "tag",
        sqlite_where=sa.text("tag <> ''"),
        postgresql_where=sa.text("tag <> ''"),
        info={
            "serves": "Finds the cached answers with a tag.",
            "query": "SELECT key FROM cache_entry WHERE tag = :tag AND tag <> ''",
        },
    ),
    sa.Index(
        "cache_entry_created_at",
        "created_at",
        info={
            "serves": "Finds the cached answers that were made before a moment.",
            "query": "SELECT key FROM cache_entry WHERE created_at < :before",
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

cache_state = sa.Table(
    "cache_state",
    metadata,
    sa.Column("identity", sa.Text, primary_key=True, nullable=False),
    sa.Column("invalidations", _NUMBER, nullable=False),
)
"""One row: the name of this cache among others, and the number of the newest invalidation."""

cache_invalidation = sa.Table(
    "cache_invalidation",
    metadata,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=False, nullable=False),
    sa.Column("at", _REAL, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("engine", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("tag", sa.Text, nullable=False),
    sa.Column("made_before", _REAL),
    sa.Index(
        "cache_invalidation_at",
        "at",
        info={
            "serves": "Finds the invalidations that can be forgotten.",
            "query": "DELETE FROM cache_invalidation WHERE at < :before",
        },
    ),
)

cache_use = sa.Table(
    "cache_use",
    metadata,
    sa.Column("level", sa.Text, primary_key=True, nullable=False),
    sa.Column("engine", sa.Text, primary_key=True, nullable=False),
    sa.Column("count", _NUMBER, nullable=False),
    sa.Column("speech_s", _REAL, nullable=False),
)
"""How often a level had an answer of an engine; the level '' counts what no level had."""

cache_lease = sa.Table(
    "cache_lease",
    metadata,
    sa.Column("key", sa.Text, primary_key=True, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", _REAL, nullable=False),
)
