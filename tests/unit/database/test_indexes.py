"""Declared indexes against real ones: what is said of each, and what would repair it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stretto.contexts.database.advice import Index, IndexDefinition, IndexState, Table
from stretto.contexts.database.indexes import IndexManager, covered_by
from stretto.contexts.database.model import Dialect
from tests.fakes.advice import MemoryCatalog, MemoryExplainer

STATUS = IndexDefinition(
    name="transcript_status",
    table="transcript",
    columns=("status", "created_at DESC"),
    serves="Lists by status.",
    query="SELECT 1",
)
LARGE = Table(name="transcript", columns=("id", "status", "created_at"), rows=50_000)


def manager(
    *indexes: Index,
    wanted: tuple[IndexDefinition, ...] = (STATUS,),
    dialect: Dialect = Dialect.POSTGRESQL,
    tables: tuple[Table, ...] = (LARGE,),
    used: str = "transcript_status",
) -> tuple[IndexManager, MemoryCatalog]:
    catalog = MemoryCatalog(dialect, tables=tables, indexes=indexes)
    explainer = MemoryExplainer(dialect, used={"SELECT 1": used})
    return IndexManager(wanted, catalog=catalog, explainer=explainer), catalog


def real(definition: IndexDefinition = STATUS, **changes: object) -> Index:
    return replace(Index(definition=replace(definition)), **changes)  # type: ignore[arg-type]


def said(indexes: IndexManager) -> list[tuple[IndexState, str, str]]:
    return [(f.state, f.definition.name, f.sentence) for f in indexes.compare()]


def test_what_is_declared_and_there_says_what_it_is_for() -> None:
    indexes, _ = manager(real(scans=7))
    assert said(indexes) == [(IndexState.OK, "transcript_status", "Lists by status.")]
    assert indexes.plan(indexes.compare()) == ()


def test_a_missing_one_is_created_without_locking_the_table() -> None:
    indexes, catalog = manager()
    assert said(indexes) == [
        (IndexState.MISSING, "transcript_status", "It is not there. Lists by status.")
    ]
    (step,) = indexes.apply()
    assert step.statements == (
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS transcript_status "
        "ON transcript (status, created_at DESC)",
    )
    assert catalog.repaired == [step]


def test_sqlite_knows_no_concurrently() -> None:
    indexes, _ = manager(dialect=Dialect.SQLITE)
    (step,) = indexes.apply()
    assert step.statements[0].startswith("CREATE INDEX IF NOT EXISTS transcript_status ON")


def test_nothing_is_created_for_a_table_that_is_not_there_yet() -> None:
    indexes, _ = manager(tables=())
    assert [(state, "db upgrade" in text) for state, _, text in said(indexes)] == [
        (IndexState.NO_TABLE, True)
    ]
    assert indexes.apply() == ()


def test_an_invalid_one_is_made_anew() -> None:
    indexes, _ = manager(real(valid=False))
    assert said(indexes)[0][0] is IndexState.INVALID
    (step,) = indexes.apply()
    assert [s.split(" transcript_status")[0] for s in step.statements] == [
        "DROP INDEX CONCURRENTLY IF EXISTS",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS",
    ]


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"columns": ("status",)}, "its columns are (status)"),
        ({"columns": ("status", "created_at")}, "its columns are (status, created_at)"),
        ({"unique": True}, "it is unique"),
        ({"where": "status = 'a'"}, "it is for rows with status = 'a' only"),
        ({"method": "gin"}, "its kind is gin"),
        ({"table": "segment"}, "it lies on segment"),
    ],
)
def test_a_different_one_is_replaced_by_one_that_was_built_beside_it(
    changes: dict[str, object], because: str
) -> None:
    indexes, _ = manager(real(replace(STATUS, **changes)))  # type: ignore[arg-type]
    assert said(indexes) == [
        (IndexState.DIFFERENT, "transcript_status", f"It is not as declared: {because}.")
    ]
    (step,) = indexes.apply()
    assert [statement.partition(" ON ")[0] for statement in step.statements] == [
        "DROP INDEX CONCURRENTLY IF EXISTS transcript_status_new",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS transcript_status_new",
        "DROP INDEX CONCURRENTLY IF EXISTS transcript_status",
        "ALTER INDEX transcript_status_new RENAME TO transcript_status",
    ]


def test_brackets_casts_and_case_make_no_difference() -> None:
    wanted = replace(STATUS, columns=("lower(file)", "status ASC"))
    there = real(replace(STATUS, columns=("lower(file::text)", '"status"')), scans=1)
    indexes, _ = manager(there, wanted=(wanted,))
    assert said(indexes)[0][0] is IndexState.OK


def test_one_that_the_planner_does_not_take_for_its_query_is_unused() -> None:
    for dialect in Dialect:
        indexes, _ = manager(real(), dialect=dialect, used="another")
        state, _, sentence = said(indexes)[0]
        assert state is IndexState.UNUSED
        assert sentence.startswith("The planner does not use it for its query.")
        assert indexes.apply() == ()


def test_one_whose_twin_the_planner_takes_is_not_unused() -> None:
    twin = replace(STATUS, name="twin", columns=STATUS.columns[:1])
    indexes, _ = manager(real(scans=0), real(twin), used="twin")
    assert [state for state, _, _ in said(indexes)] == [IndexState.OK, IndexState.DUPLICATE]


def test_one_that_nobody_scanned_is_not_unused_if_the_planner_would_take_it() -> None:
    indexes, _ = manager(real(scans=0))
    assert said(indexes)[0][0] is IndexState.OK


def test_one_without_a_query_is_unused_when_it_had_its_chance() -> None:
    wanted = replace(STATUS, query="")
    old, _ = manager(real(wanted, scans=0, age=10_000), wanted=(wanted,))
    assert said(old)[0][2].startswith("Never used since the server began to count.")
    young, _ = manager(real(wanted, scans=0, age=9_999), wanted=(wanted,))
    assert said(young)[0][0] is IndexState.OK


def test_nothing_is_unused_on_a_small_table_of_postgresql_or_if_it_keeps_rows_unique() -> None:
    small = (replace(LARGE, rows=9_999),)
    indexes, _ = manager(real(scans=0), tables=small, used="another")
    assert said(indexes)[0][0] is IndexState.OK
    unique = replace(STATUS, unique=True)
    indexes, _ = manager(real(unique, scans=0), wanted=(unique,), used="another")
    assert said(indexes)[0][0] is IndexState.OK


def test_of_two_alike_the_declared_or_longer_one_stays() -> None:
    short = IndexDefinition(name="by_hand", table="transcript", columns=("status",))
    indexes, _ = manager(real(scans=1), real(short))
    assert said(indexes) == [
        (
            IndexState.DUPLICATE,
            "by_hand",
            "Nobody declared it, and transcript_status does the same. "
            "To remove it: DROP INDEX IF EXISTS by_hand",
        ),
        (IndexState.OK, "transcript_status", "Lists by status."),
    ]
    assert indexes.apply() == ()


def test_a_partial_unique_or_other_kind_of_index_is_covered_by_none() -> None:
    longer = real(replace(STATUS, name="longer", columns=(*STATUS.columns, "id")))
    assert covered_by(real(), [longer]) == "longer"
    for changed in ({"where": "x"}, {"unique": True}, {"method": "gin"}, {"table": "segment"}):
        assert covered_by(real(replace(STATUS, **changed)), [longer]) == ""  # type: ignore[arg-type]
    assert covered_by(longer, [real()]) == ""
    assert covered_by(real(), [replace(longer, valid=False)]) == ""


def test_what_nobody_declared_is_named_and_never_dropped() -> None:
    stranger = IndexDefinition(name="stranger", table="transcript", columns=("file",))
    key = IndexDefinition(name="transcript_pkey", table="transcript", columns=("id",), unique=True)
    indexes, _ = manager(real(scans=1), real(stranger), real(key, constraint=True))
    assert [(state, name) for state, name, _ in said(indexes)] == [
        (IndexState.UNDECLARED, "stranger"),
        (IndexState.OK, "transcript_status"),
    ]
    broken, catalog = manager(real(scans=1), real(stranger, valid=False))
    assert said(broken)[0][0] is IndexState.INVALID
    assert broken.apply() == ()
    assert catalog.repaired == []
