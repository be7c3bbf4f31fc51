"""What every catalog of tables and indexes promises, on the real databases."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import (
    Column,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    func,
    text,
)

from stretto.bootstrap import advisers_of
from stretto.contexts.core.errors import InvalidStatement, StorageUnavailable, StrettoError
from stretto.contexts.database.adapters.catalog_postgresql import LOCK, PostgresqlCatalog
from stretto.contexts.database.adapters.catalog_sqlite import SqliteCatalog
from stretto.contexts.database.adapters.declared import declared_indexes
from stretto.contexts.database.advice import IndexState, IndexStep
from stretto.contexts.database.indexes import IndexManager
from stretto.contexts.database.ports import Catalog
from tests.library import SEGMENTS, TRANSCRIPTS

ON_POSTGRESQL = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
"""SQLite has one writer at a time, and creates an index as a whole or not at all."""

METADATA = MetaData()
TRANSCRIPT = Table(
    "transcript",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("status", String),
    Column("file", String),
    Column("created_at", Integer),
)
Index(
    "transcript_status",
    TRANSCRIPT.c.status,
    TRANSCRIPT.c.created_at.desc(),
    info={
        "serves": "Lists by status.",
        "query": "SELECT id FROM transcript WHERE status = :s ORDER BY created_at DESC LIMIT :n",
    },
)
Index("transcript_lower_file", func.lower(TRANSCRIPT.c.file))
Index(
    "transcript_partial",
    TRANSCRIPT.c.file,
    sqlite_where=TRANSCRIPT.c.status == "partial",
    postgresql_where=TRANSCRIPT.c.status == "partial",
    info={"query": "SELECT id FROM transcript WHERE status = 'partial' AND file = :f"},
)
Index("only_there", TRANSCRIPT.c.file, info={"dialects": ("oracle",)})


def catalog_of(engine: Engine) -> Catalog:
    return SqliteCatalog(engine) if engine.dialect.name == "sqlite" else PostgresqlCatalog(engine)


def manager_of(engine: Engine) -> IndexManager:
    definitions = declared_indexes([METADATA], engine.dialect)
    return advisers_of(engine, definitions, place="here", slow_ms=100).indexes


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def states(engine: Engine) -> dict[str, IndexState]:
    return {f.definition.name: f.state for f in manager_of(engine).compare()}


def test_tables_have_columns_and_rows(library: Engine) -> None:
    segment, transcript = catalog_of(library).tables(["transcript", "segment", "nowhere"])
    assert segment.columns == ("id", "transcript_id", "position", "body")
    assert (segment.rows, transcript.rows) == (SEGMENTS, TRANSCRIPTS)


def test_a_table_that_was_just_filled_is_not_taken_for_empty(library: Engine) -> None:
    run(library, "CREATE TABLE fresh (a INTEGER)", "INSERT INTO fresh SELECT id FROM transcript")
    assert [table.rows for table in catalog_of(library).tables(["fresh"])] == [TRANSCRIPTS]


def test_indexes_are_seen_as_they_were_made(library: Engine) -> None:
    run(
        library,
        "CREATE UNIQUE INDEX one ON segment (transcript_id, position DESC)",
        "CREATE INDEX two ON transcript (lower(file), status) WHERE status = 'partial'",
    )
    found = {index.definition.name: index for index in catalog_of(library).indexes()}
    one, two = found["one"].definition, found["two"].definition
    assert (one.table, one.columns, one.unique) == (
        "segment",
        ("transcript_id", "position DESC"),
        True,
    )
    assert (two.columns, two.unique) == (("lower(file)", "status"), False)
    assert "partial" in two.where
    assert all(index.valid for index in found.values())
    assert {index.definition.table for index in found.values() if index.constraint} >= {"setting"}


def test_what_is_declared_is_created_once_and_agrees_from_then_on(library: Engine) -> None:
    missing = dict.fromkeys(
        ("transcript_lower_file", "transcript_partial", "transcript_status"), IndexState.MISSING
    )
    assert states(library) == missing
    indexes = manager_of(library)
    assert [step.name for step in indexes.apply()] == sorted(missing)
    assert indexes.apply() == ()
    run(library, "ANALYZE")
    found = states(library)
    assert found.pop("transcript_lower_file") in {IndexState.OK, IndexState.UNUSED}
    assert set(found.values()) == {IndexState.OK}


def test_one_that_somebody_made_otherwise_is_replaced(library: Engine) -> None:
    run(library, "CREATE INDEX transcript_status ON transcript (status)")
    assert states(library)["transcript_status"] is IndexState.DIFFERENT
    manager_of(library).apply()
    assert states(library)["transcript_status"] is IndexState.OK


def test_a_double_and_a_stranger_are_named_and_stay(library: Engine) -> None:
    manager_of(library).apply()
    run(
        library,
        "CREATE INDEX double ON transcript (status)",
        "CREATE INDEX stranger ON segment (body)",
    )
    manager_of(library).apply()
    found = states(library)
    assert found["double"] is IndexState.DUPLICATE
    assert found["stranger"] is IndexState.UNDECLARED


def test_a_step_that_fails_leaves_what_there_was(library: Engine) -> None:
    run(library, "CREATE INDEX kept ON transcript (status)")
    steps = [
        IndexStep(name="good", statements=("CREATE INDEX good ON transcript (file)",), reason=""),
        IndexStep(name="bad", statements=("CREATE INDEX bad ON nowhere (x)",), reason=""),
    ]
    with pytest.raises(StrettoError, match="nowhere"):
        catalog_of(library).repair(steps)
    names = {index.definition.name for index in catalog_of(library).indexes()}
    assert {"kept", "good"} <= names
    run(library, "UPDATE setting SET value = 'c'")  # the connection is fit for use


@ON_POSTGRESQL
def test_indexes_are_built_while_others_write(library: Engine) -> None:
    manager = manager_of(library)
    with library.connect() as writer:
        writer.execute(text("INSERT INTO transcript VALUES (99999, 'new', 'en', 'x', 1)"))
        building = threading.Thread(target=manager.apply)
        building.start()  # waits for the transaction that is open, and keeps no one waiting
        with library.begin() as other:
            other.execute(text("INSERT INTO transcript VALUES (99998, 'new', 'en', 'x', 1)"))
        writer.commit()
        building.join(timeout=60)
    assert not building.is_alive()
    assert IndexState.MISSING not in states(library).values()


@ON_POSTGRESQL
def test_what_broke_off_half_way_is_found_and_repaired(library: Engine) -> None:
    run(library, "UPDATE transcript SET file = 'same' WHERE id < 3")
    with library.connect() as raw:
        connection = raw.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(Exception, match="could not create unique index"):
            connection.execute(
                text("CREATE UNIQUE INDEX CONCURRENTLY transcript_lower_file ON transcript (file)")
            )
    assert states(library)["transcript_lower_file"] is IndexState.INVALID
    manager_of(library).apply()
    assert IndexState.INVALID not in states(library).values()


@ON_POSTGRESQL
def test_an_index_may_take_longer_than_other_statements(library: Engine) -> None:
    impatient = create_engine(
        library.url, connect_args={"options": "-c statement_timeout=200"}, pool_size=1
    )
    long = IndexStep(name="long", statements=("SELECT pg_sleep(0.4)",), reason="")
    catalog_of(impatient).repair([long])
    with impatient.connect() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "200ms"
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "0"
    impatient.dispose()


@ON_POSTGRESQL
def test_only_one_process_repairs_at_a_time(library: Engine) -> None:
    with library.connect() as other:
        other.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        with pytest.raises(StorageUnavailable, match="Another Stretto is repairing"):
            manager_of(library).apply()
        other.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
    manager_of(library).apply()


def test_declarations_are_read_from_the_tables(engine: Engine) -> None:
    lower, partial, status = declared_indexes([METADATA], engine.dialect)
    assert status.columns == ("status", "created_at DESC")
    assert status.serves == "Lists by status."
    assert lower.columns == ("lower(file)",)
    assert partial.where == "status = 'partial'"


def test_the_library_can_be_asked_what_it_needs(library: Engine) -> None:
    with advisers_of(library, (), place="here", slow_ms=100) as advisers:
        explained = advisers.optimizer.explain("SELECT * FROM transcript WHERE file = 'x'")
        assert [advice.definition.name for advice in explained.advice] == ["transcript_file"]
        with pytest.raises(InvalidStatement):
            advisers.optimizer.explain("DROP TABLE transcript")
