"""The tables of processing as SQLAlchemy sees them: what the migrations have to arrive at."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()
"""Queries of indexes name a rare value where one is what the index is for: a common one is found as
fast without it, and is what a planner expects that knows no value."""

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")


transcript = sa.Table(
    "transcript",
    metadata,
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
    sa.Column("version", sa.Integer, nullable=False, server_default=sa.text("1")),
    sa.Column("indexed", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("owner", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Index(
        "transcript_request",
        "request_key",
        "status",
        "created_at",
        "number",
        info={
            "serves": "Recalls the newest complete transcript of a recording that is known.",
            "query": "SELECT number, id, document FROM transcript "
            "WHERE request_key = :request_key AND status = :status "
            "AND (created_at, number) < (:at, :before) "
            "ORDER BY created_at DESC, number DESC LIMIT :n",
        },
    ),
    sa.Index(
        "transcript_created_at",
        "created_at",
        "number",
        info={
            "serves": "Lists transcripts, the newest first.",
            "query": "SELECT number, id, document FROM transcript "
            "WHERE (created_at, number) < (:at, :before) "
            "ORDER BY created_at DESC, number DESC LIMIT :n",
        },
    ),
    sa.Index(
        "transcript_file_hash",
        "file_hash",
        info={
            "serves": "Finds the transcripts of a file by its bytes.",
            "query": "SELECT id FROM transcript WHERE file_hash = :file_hash",
        },
    ),
    sa.Index(
        "transcript_language",
        "language",
        "created_at",
        "number",
        info={
            "serves": "Lists the transcripts in a language, the newest first.",
            "query": "SELECT number, id, document FROM transcript "
            "WHERE language = 'is' AND (created_at, number) < (:at, :before) "
            "ORDER BY created_at DESC, number DESC LIMIT :n",
        },
    ),
    sa.Index(
        "transcript_status",
        "status",
        "created_at",
        "number",
        info={
            "serves": "Lists the complete or the partial transcripts, the newest first.",
            "query": "SELECT number, id, document FROM transcript "
            "WHERE status = 'partial' AND (created_at, number) < (:at, :before) "
            "ORDER BY created_at DESC, number DESC LIMIT :n",
        },
    ),
    sa.Index(
        "transcript_owner",
        "owner",
        "created_at",
        "number",
        info={
            "serves": "Lists the transcripts of one owner, the newest first.",
            "query": "SELECT number, id, document FROM transcript "
            "WHERE owner = 'anna' AND (created_at, number) < (:at, :before) "
            "ORDER BY created_at DESC, number DESC LIMIT :n",
        },
    ),
    sa.Index(
        "transcript_speed",
        "engine",
        "created_at",
        sqlite_where=sa.text("speed IS NOT NULL"),
        postgresql_where=sa.text("speed IS NOT NULL"),
        info={
            "serves": "Estimates the time a recording will take, from the last ones.",
            "query": "SELECT speed FROM transcript WHERE engine = :engine AND speed IS NOT NULL "
            "ORDER BY created_at DESC LIMIT 9",
        },
    ),
    sa.Index(
        "transcript_unindexed",
        "number",
        sqlite_where=sa.text("indexed = 0"),
        postgresql_where=sa.text("indexed = 0"),
        info={
            "serves": "Finds the transcripts whose words cannot be searched for yet.",
            "query": "SELECT number, id, document FROM transcript WHERE indexed = 0 "
            "ORDER BY number LIMIT :n",
        },
    ),
)
"""``version`` counts what an owner has of one file from 1; ``indexed`` is 0 until the segments of
the document are rows of their own, and -1 where the document cannot be read."""

segment = sa.Table(
    "segment",
    metadata,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column(
        "transcript",
        _NUMBER,
        sa.ForeignKey("transcript.number", ondelete="CASCADE", name="segment_transcript_fkey"),
        nullable=False,
    ),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("start_s", _REAL, nullable=False),
    sa.Column("end_s", _REAL, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("stems", sa.Text, nullable=False),
    sa.Column("words", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("transcript", "position", name="segment_place"),
    sa.Index(
        "segment_words",
        sa.literal_column("lexemes"),
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 128},
        info={
            "dialects": ("postgresql",),
            "serves": "Finds the segments with the words that are searched for.",
            "query": "SELECT number FROM segment WHERE lexemes @@ to_tsquery('simple', :query)",
        },
    ),
)
"""``stems`` are the words as they are searched for, ``words`` their times (msgpack). How words are
found is the business of each database: ``lexemes`` is a column of PostgreSQL alone, and on SQLite
``segment_words`` is a table."""

audio_file = sa.Table(
    "audio_file",
    metadata,
    sa.Column("file_hash", sa.Text, primary_key=True, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("duration_s", _REAL, nullable=False),
    sa.Column("size_bytes", _NUMBER),
    sa.Column("container", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("codec", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("bitrate_bps", _NUMBER),
    sa.Column("first_seen_at", _REAL, nullable=False),
    sa.Column("last_seen_at", _REAL, nullable=False),
)
