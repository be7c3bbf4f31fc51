"""The tables come up, go down and come up again, on both databases, and match what is declared."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from stretto.bootstrap import build_engine_of_database
from stretto.contexts.caching.adapters import tables as caching_tables
from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.core.identifiers import JobId, TranscriptId
from stretto.contexts.database.adapters import tables as database_tables
from stretto.contexts.external.adapters import cdn_tables
from stretto.contexts.monitoring.adapters import tables as monitoring_tables
from stretto.contexts.processing.adapters import tables as processing_tables
from stretto.contexts.queue.adapters import tables as queue_tables
from stretto.contexts.queue.model import JobError
from stretto.migrations import REVISIONS, runner
from tests.conftest import Place
from tests.queues import queue_on
from tests.servers import opened, settings_of, upgraded

BASE = ("base", *REVISIONS)


@pytest.fixture
def engine(empty: Place) -> Iterator[sa.Engine]:
    engine = build_engine_of_database(settings_of(empty))
    yield engine
    engine.dispose()


def shape(engine: sa.Engine) -> dict[str, Any]:
    """Every table with its columns and indexes, but for the bookkeeping of the migrations."""
    look = sa.inspect(engine)
    return {
        name: (
            sorted((c["name"], str(c["type"]), c["nullable"]) for c in look.get_columns(name)),
            sorted(str(index["name"]) for index in look.get_indexes(name)),
        )
        for name in look.get_table_names()
        if name != "alembic_version" and not name.startswith("segment_words")
    }


def test_the_list_of_revisions_is_that_of_the_files_and_has_one_head() -> None:
    script = runner.script()
    assert script.get_heads() == [REVISIONS[-1]]
    found = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS


def test_each_revision_goes_up_down_and_up_again(engine: sa.Engine) -> None:
    for before, revision in zip(BASE, REVISIONS, strict=False):
        lower = shape(engine)
        runner.upgrade(engine, to=revision)
        upper = shape(engine)
        assert upper != lower
        runner.downgrade(engine, to=before)
        assert shape(engine) == lower
        runner.upgrade(engine, to=revision)
        assert shape(engine) == upper


def test_everything_can_be_undone(engine: sa.Engine) -> None:
    runner.upgrade(engine)
    runner.downgrade(engine, to="base")
    assert shape(engine) == {}


def all_tables() -> sa.MetaData:
    metadata = sa.MetaData()
    modules = (
        *(caching_tables, database_tables, cdn_tables, monitoring_tables),
        *(processing_tables, queue_tables),
    )
    for module in modules:
        for table in module.metadata.sorted_tables:
            copy = table.to_metadata(metadata)
            copy.indexes -= {index for index in copy.indexes if index.name == "segment_words"}
    return metadata


def differences(engine: sa.Engine) -> list[Any]:
    def is_declared(
        thing: object, name: str | None, kind: str, reflected: bool, other: object
    ) -> bool:
        # How words are found is the business of each database.
        return not (name or "").startswith(("segment_words", "lexemes", "schema_version"))

    with engine.connect() as connection:
        options = {"include_object": is_declared, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, all_tables()))


@pytest.mark.filterwarnings("ignore:.*:sqlalchemy.exc.SAWarning")
def test_what_the_migrations_arrive_at_is_what_is_declared(engine: sa.Engine) -> None:
    runner.upgrade(engine)
    assert differences(engine) == []


def test_upgrading_what_is_up_to_date_changes_nothing(engine: sa.Engine) -> None:
    runner.upgrade(engine)
    before = shape(engine)
    runner.upgrade(engine)
    assert shape(engine) == before


@pytest.mark.parametrize("statement", range(1, 60, 7))
def test_a_migration_that_dies_half_way_changed_nothing_and_can_be_run_again(
    engine: sa.Engine, statement: int
) -> None:
    count = 0

    @sa.event.listens_for(engine, "before_cursor_execute")
    def die(*_: object) -> None:
        nonlocal count
        count += 1
        if count == statement:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        runner.upgrade(engine)
        return  # it has fewer statements than that
    sa.event.remove(engine, "before_cursor_execute", die)
    assert shape(engine) == {}
    runner.upgrade(engine)
    assert "outbox_event" in shape(engine)


def test_a_sqlite_file_gets_its_tables_by_itself(tmp_path: Path) -> None:
    database = opened(tmp_path)
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM transcript").fetchone() == (0,)
    database.close()


def test_a_postgresql_without_tables_says_what_to_run(empty: Place) -> None:
    if isinstance(empty, Path):
        return
    database = opened(empty)
    with pytest.raises(StorageUnavailable, match="Run: stretto db upgrade"), database.read():
        pass
    upgraded(empty)
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM transcript").fetchone() == (0,)
    database.close()


def test_a_database_of_a_newer_program_is_left_alone(place: Place) -> None:
    database = opened(place)
    with database.write() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    again = opened(place)
    with pytest.raises(StorageUnavailable, match="made by a newer Stretto"), again.read():
        pass
    again.close()


# What version 0.1 wrote, word for word.
FORMER_TABLES = """
    CREATE TABLE schema_version (name TEXT PRIMARY KEY, version INTEGER NOT NULL);
    INSERT INTO schema_version VALUES ('cache', 1), ('transcripts', 1);
    CREATE TABLE cache_entry (
        key TEXT NOT NULL PRIMARY KEY,
        size INTEGER NOT NULL,
        created_at REAL NOT NULL,
        last_used_at REAL NOT NULL,
        expires_at REAL,
        hits INTEGER NOT NULL DEFAULT 0,
        value BLOB NOT NULL
    );
    CREATE INDEX cache_entry_last_used_at ON cache_entry (last_used_at);
    CREATE TABLE transcript (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        request_key TEXT NOT NULL,
        file_hash TEXT NOT NULL,
        file TEXT NOT NULL,
        language TEXT NOT NULL,
        status TEXT NOT NULL,
        duration_s REAL NOT NULL,
        created_at REAL NOT NULL,
        engine TEXT NOT NULL,
        speed REAL,
        document BLOB NOT NULL
    );
    CREATE INDEX transcript_request
        ON transcript (request_key, status, created_at, number);
    CREATE INDEX transcript_created_at ON transcript (created_at, number);
    CREATE INDEX transcript_file_hash ON transcript (file_hash);
    CREATE INDEX transcript_speed ON transcript (engine, created_at) WHERE speed IS NOT NULL;
"""
FORMER_INSERT = """
    INSERT INTO transcript (
        id, request_key, file_hash, file, language, status, duration_s, created_at, engine,
        speed, document
    ) VALUES (:id, 'key', :hash, 'talk.mp3', 'en', 'complete', 3.5, :at, 'w/tiny.en/', NULL, x'c0')
"""
FORMER_READ = """
    SELECT id, document FROM transcript WHERE request_key = ? AND status = ?
    ORDER BY created_at DESC, number DESC
"""


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A data folder of version 0.1 with two transcripts of one file and one of another."""
    with closing(sqlite3.connect(tmp_path / "stretto.sqlite3")) as connection, connection:
        connection.executescript(FORMER_TABLES)
        for number, (file, at) in enumerate((("a", 2.0), ("a", 1.0), ("b", 3.0))):
            row = {"id": str(number), "hash": file, "at": at}
            connection.execute(FORMER_INSERT, row)
        connection.execute("INSERT INTO cache_entry VALUES ('k', 1, 1, 1, NULL, 0, x'00')")
    return tmp_path


def test_a_database_of_version_0_1_is_taken_over_with_every_row(former: Path) -> None:
    database = opened(former)
    with database.read() as connection:
        versions = connection.execute("SELECT id, version, indexed FROM transcript ORDER BY id")
        assert versions.fetchall() == [("0", 2, 0), ("1", 1, 0), ("2", 1, 0)]
        assert connection.execute("SELECT key, source FROM cache_entry").fetchall() == [("k", "")]
        files = connection.execute("SELECT file_hash, first_seen_at FROM audio_file ORDER BY 1")
        assert files.fetchall() == [("a", 1.0), ("b", 3.0)]
    database.close()


@pytest.mark.filterwarnings("ignore:.*:sqlalchemy.exc.SAWarning")
def test_a_database_that_was_taken_over_is_like_a_new_one(former: Path) -> None:
    upgraded(former)
    engine = build_engine_of_database(settings_of(former))
    found = [difference[0][0:4] for difference in differences(engine)]
    # The number of a row was not declared NOT NULL then, but SQLite never lets it be NULL.
    assert found == [("modify_nullable", None, "transcript", "number")]
    engine.dispose()


def test_version_0_1_reads_and_writes_a_database_that_was_taken_over(former: Path) -> None:
    upgraded(former)
    with closing(sqlite3.connect(former / "stretto.sqlite3")) as connection, connection:
        tables = FORMER_TABLES.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
        tables = tables.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS")
        connection.executescript(tables.replace("INSERT", "INSERT OR REPLACE"))
        assert len(connection.execute(FORMER_READ, ("key", "complete")).fetchall()) == 3
        connection.execute(FORMER_INSERT, {"id": "9", "hash": "c", "at": 9.0})


FORMER_JOBS = """
    INSERT INTO processing_job (
        id, file, status, created_at, updated_at, transcript_id, error_kind, error
    ) VALUES (:id, 'talk "7".mp3', :status, 5.0, 6.0, :transcript, :kind, :error)
"""


def test_the_jobs_of_before_are_taken_over_and_what_had_not_ended_is_cancelled(
    engine: sa.Engine, empty: Place
) -> None:
    runner.upgrade(engine, to="0005")
    statuses = ("queued", "processing", "completed", "failed", "cancelled")
    with engine.begin() as connection:
        for number, status in enumerate(statuses):
            row = {
                "id": str(UUID(int=number)),
                "status": status,
                "transcript": str(UUID(int=9)) if status == "completed" else None,
                "kind": "MediaNotFound" if status == "failed" else "",
                "error": 'no "file"' if status == "failed" else "",
            }
            connection.execute(sa.text(FORMER_JOBS), row)
    runner.upgrade(engine)
    database = opened(empty)
    jobs = [queue_on(database).jobs.get(JobId(UUID(int=number))) for number in range(5)]
    database.close()
    found = [job for job in jobs if job is not None]
    assert [job.status for job in found] == [
        *("cancelled", "cancelled", "completed", "failed", "cancelled"),
    ]
    assert found[2].transcript_id == TranscriptId(UUID(int=9))
    assert found[3].error == JobError(kind="MediaNotFound", message='no "file"')
    assert {job.file for job in found} == {'talk "7".mp3'}
