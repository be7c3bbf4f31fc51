"""A library of transcripts, large enough for planners to take notice, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

TRANSCRIPTS = 12_000
SEGMENTS = 30_000

_NUMBERS = """
    WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {count})
"""
_TABLES = (
    """
    CREATE TABLE transcript (
        id INTEGER PRIMARY KEY, status TEXT NOT NULL, language TEXT, file TEXT NOT NULL,
        created_at INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE segment (
        id INTEGER PRIMARY KEY, transcript_id INTEGER NOT NULL REFERENCES transcript (id),
        position INTEGER NOT NULL, body TEXT NOT NULL
    )
    """,
    "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT)",
    f"""
    INSERT INTO transcript (id, status, language, file, created_at)
    {_NUMBERS.format(count=TRANSCRIPTS)}
    SELECT i, CASE WHEN i % 100 = 0 THEN 'partial' ELSE 'complete' END,
           CASE WHEN i % 3 = 0 THEN 'ru' ELSE 'en' END, 'talk ' || i || '.wav', i
    FROM numbers
    """,
    f"""
    INSERT INTO segment (id, transcript_id, position, body)
    {_NUMBERS.format(count=SEGMENTS)}
    SELECT i, 1 + i % {TRANSCRIPTS}, i, 'It was the best of times, it was the worst of times, ' || i
    FROM numbers
    """,
    "INSERT INTO setting (name, value) VALUES ('a', 'b')",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'stretto.sqlite3'}")
    else:
        engine = create_engine(request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


@pytest.fixture
def library(engine: Engine) -> Engine:
    """The same, with transcripts and segments and no index but the primary keys."""
    with engine.begin() as connection:
        for statement in _TABLES:
            connection.execute(text(statement))
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    return engine


def fingerprint(engine: Engine) -> tuple[object, ...]:
    """Everything that a statement could have changed: rows, tables, indexes."""
    catalog = (
        "SELECT name FROM sqlite_schema ORDER BY name"
        if engine.dialect.name == "sqlite"
        else "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    with engine.connect() as connection:
        names = tuple(connection.execute(text(catalog)).scalars())
        counts = tuple(
            connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in ("transcript", "segment", "setting")
        )
    return names, counts
