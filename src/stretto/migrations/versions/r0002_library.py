"""Segments to search in, versions of transcripts, audio files, jobs, sources of answers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")


def upgrade() -> None:
    _extend_cache()
    _extend_transcripts()
    _create_segments()
    if op.get_bind().dialect.name == "sqlite":
        for statement in _SQLITE_WORDS:
            op.execute(statement)
    else:
        for statement in _POSTGRESQL_WORDS:
            op.execute(statement)
    _create_files()
    _create_jobs()


def _extend_cache() -> None:
    source = sa.Column("source", sa.Text, nullable=False, server_default=sa.text("''"))
    op.add_column("cache_entry", source)
    op.create_index("cache_entry_source", "cache_entry", ["source"])


def _extend_transcripts() -> None:
    for name, default in (("version", "1"), ("indexed", "0")):
        column = sa.Column(name, sa.Integer, nullable=False, server_default=sa.text(default))
        op.add_column("transcript", column)
    op.execute(_COUNT_VERSIONS)
    op.create_index("transcript_language", "transcript", ["language", "created_at", "number"])
    op.create_index("transcript_status", "transcript", ["status", "created_at", "number"])
    waiting = sa.text("indexed = 0")
    op.create_index(
        "transcript_unindexed",
        "transcript",
        ["number"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )


def _create_segments() -> None:
    op.create_table(
        "segment",
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
    )


def _create_files() -> None:
    op.create_table(
        "audio_file",
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
    op.execute(_FILES_OF_TRANSCRIPTS)


def _create_jobs() -> None:
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
    for name, columns in (
        ("processing_job_created_at", ["created_at", "id"]),
        ("processing_job_status", ["status", "created_at", "id"]),
        ("processing_job_transcript", ["transcript_id"]),
    ):
        op.create_index(name, "processing_job", columns)


def downgrade() -> None:
    op.drop_table("processing_job")
    op.drop_table("audio_file")
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("segment_words")
    op.drop_table("segment")
    for name in ("transcript_unindexed", "transcript_status", "transcript_language"):
        op.drop_index(name, "transcript")
    op.drop_column("transcript", "indexed")
    op.drop_column("transcript", "version")
    op.drop_index("cache_entry_source", "cache_entry")
    op.drop_column("cache_entry", "source")


_COUNT_VERSIONS = """
    UPDATE transcript SET version = (
        SELECT count(*) FROM transcript AS older
        WHERE older.file_hash = transcript.file_hash
        AND (older.created_at, older.number) <= (transcript.created_at, transcript.number)
    )
"""
_FILES_OF_TRANSCRIPTS = """
    INSERT INTO audio_file (file_hash, name, duration_s, first_seen_at, last_seen_at)
    SELECT file_hash, max(file), max(duration_s), min(created_at), max(created_at)
    FROM transcript GROUP BY file_hash
"""
_POSTGRESQL_WORDS = (
    """
    ALTER TABLE segment ADD COLUMN lexemes tsvector
    GENERATED ALWAYS AS (to_tsvector('simple', stems)) STORED
    """,
    """
    CREATE INDEX segment_words ON segment USING gin (lexemes)
    WITH (gin_pending_list_limit = 128)
    """,
)
"""Stored, because a search for what stands everywhere reads rows, not the index. What waits to be
indexed is read by every search, so that it is at most 128 kB instead of 4 MB."""

_SQLITE_WORDS = (
    """
    CREATE VIRTUAL TABLE segment_words USING fts5 (
        stems, content = 'segment', content_rowid = 'number',
        tokenize = 'unicode61 remove_diacritics 0'
    )
    """,
    """
    CREATE TRIGGER segment_words_added AFTER INSERT ON segment BEGIN
        INSERT INTO segment_words (rowid, stems) VALUES (new.number, new.stems);
    END
    """,
    """
    CREATE TRIGGER segment_words_gone AFTER DELETE ON segment BEGIN
        INSERT INTO segment_words (segment_words, rowid, stems)
        VALUES ('delete', old.number, old.stems);
    END
    """,
)
"""The index holds no text of its own; a segment is never changed, only written and deleted."""
