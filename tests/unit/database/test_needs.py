"""What a statement asks of its tables, and the index that would answer it."""

from __future__ import annotations

import pytest

from stretto.contexts.database.advice import Index, IndexDefinition, Table
from stretto.contexts.database.ddl import create_index
from stretto.contexts.database.judging import candidates
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.needs import Need, aliases, needs

TABLES = {
    "transcript": Table(
        name="transcript",
        columns=("id", "status", "language", "created_at", "deleted_at"),
        rows=50_000,
    ),
    "segment": Table(name="segment", columns=("id", "transcript_id", "start_s"), rows=1_000_000),
}


def asked(sql: str, alias: str = "transcript") -> tuple[list[str], list[str], list[str]]:
    need = needs(sql, Dialect.POSTGRESQL, TABLES).get(alias, Need())
    return need.equal, need.ranged, need.ordered


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("status = :a", (["status"], [], [])),
        ("'x' = status", (["status"], [], [])),
        ("status IN ('a', 'b') AND created_at >= 5", (["status"], ["created_at"], [])),
        ("(status = 'a' AND (language = 'en'))", (["status", "language"], [], [])),
        ("created_at BETWEEN 1 AND 2", ([], ["created_at"], [])),
        ("5 < created_at", ([], ["created_at"], [])),
        ("deleted_at IS NULL", (["deleted_at"], [], [])),
        ("transcript.status = $1::text", (["status"], [], [])),
        ('"transcript"."status" = $1', (["status"], [], [])),
        ("status = 'a' ORDER BY created_at DESC, id DESC", (["status"], [], ["created_at", "id"])),
        (
            "status = 'a' ORDER BY created_at DESC, id",
            (["status"], [], ["created_at DESC", "id"]),
        ),
        # what an index on the column alone does not serve
        ("status = 'a' OR language = 'en'", ([], [], [])),
        ("language = 'en' AND (status = 'a' OR id = 1)", (["language"], [], [])),
        ("lower(status) = 'a'", ([], [], [])),
        ("created_at + 1 > 5", ([], [], [])),
        ("status || 'x' = 'ax'", ([], [], [])),
        ("status <> 'a'", ([], [], [])),
        ("deleted_at IS NOT NULL", ([], [], [])),
        ("status NOT IN ('a')", ([], [], [])),
        ("nothing = 1", ([], [], [])),
        ("status = 'a' ORDER BY lower(language)", (["status"], [], [])),
    ],
)
def test_conditions_say_what_is_compared(
    condition: str, expected: tuple[list[str], list[str], list[str]]
) -> None:
    assert asked(f"SELECT id FROM transcript WHERE {condition} LIMIT 5") == expected


def test_each_alias_of_a_table_has_needs_of_its_own() -> None:
    sql = (
        "SELECT 1 FROM transcript a JOIN transcript AS b ON a.language = b.language WHERE b.id = 1"
    )
    assert asked(sql, "a") == ([], [], [])
    assert asked(sql, "b") == (["id"], [], [])
    found = needs(sql, Dialect.POSTGRESQL, TABLES)
    assert found["a"].joined == found["b"].joined == ["language"]


def test_a_join_asks_both_tables() -> None:
    sql = "SELECT 1 FROM transcript t, segment s WHERE s.transcript_id = t.id AND start_s > 3"
    assert asked(sql, "s") == ([], ["start_s"], [])
    found = needs(sql, Dialect.POSTGRESQL, TABLES)
    assert (found["s"].joined, found["t"].joined) == (["transcript_id"], ["id"])


def test_a_column_that_could_be_of_two_tables_is_left_out() -> None:
    sql = "SELECT 1 FROM transcript t JOIN segment s ON s.transcript_id = t.id WHERE id = 1"
    assert asked(sql, "s") == asked(sql, "t") == ([], [], [])


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1 FROM public.transcript AS t", {"t": "transcript"}),
        ("SELECT 1 FROM a, b c LEFT JOIN d USING (x)", {"a": "a", "c": "b", "d": "d"}),
        ("SELECT 1 FROM (SELECT 2 FROM inner_one) AS s", {"inner_one": "inner_one"}),
        ("SELECT 1 FROM generate_series(1, 2) AS g", {}),
        ("UPDATE a SET b = 1", {"a": "a"}),
        ("SELECT extract(epoch FROM now())", {}),
        ("SELECT 'open", {}),
    ],
)
def test_names_lead_to_tables(sql: str, expected: dict[str, str]) -> None:
    assert aliases(sql, Dialect.POSTGRESQL) == expected


@pytest.mark.parametrize(
    ("need", "columns"),
    [
        (Need(equal=["status"], ranged=["created_at"]), ("status", "created_at")),
        (
            Need(equal=["status"], ordered=["created_at DESC", "id"]),
            ("status", "created_at DESC", "id"),
        ),
        (Need(ranged=["created_at"], ordered=["created_at", "id"]), ("created_at", "id")),
        (Need(ranged=["created_at"], ordered=["language"]), ("created_at",)),
        (Need(equal=["status"], ordered=["status", "id"]), ("status", "id")),
    ],
)
def test_an_index_has_what_is_equal_before_what_is_ordered(
    need: Need, columns: tuple[str, ...]
) -> None:
    assert [wanted.columns for wanted in candidates("transcript", need, ())] == [columns]


def test_a_table_that_is_joined_may_be_entered_by_its_values_or_by_the_join() -> None:
    need = Need(equal=["status"], joined=["language"], ordered=["created_at"])
    assert [wanted.columns for wanted in candidates("transcript", need, ())] == [
        ("status", "created_at"),
        ("language", "status"),
    ]


def an_index(name: str, *columns: str, where: str = "") -> Index:
    definition = IndexDefinition(name=name, table="transcript", columns=columns, where=where)
    return Index(definition=definition)


def test_no_index_is_wanted_where_one_begins_with_these_columns() -> None:
    need = Need(equal=["status", "language"], ordered=["created_at"])
    there = an_index("there", "language", "status", "created_at", "id")
    assert candidates("transcript", need, (there,)) == ()
    assert candidates(
        "transcript", need, (an_index("partial", *there.definition.columns, where="x"),)
    )
    assert candidates("transcript", Need(), ()) == ()


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    taken = an_index("transcript_status", "language")
    (wanted,) = candidates("transcript", Need(equal=["status"]), (taken,))
    assert wanted.name == "transcript_status_2"


def test_statements_quote_names_that_need_it() -> None:
    index = IndexDefinition(
        name="By Order",
        table="order",
        columns=("select DESC", "lower(name)"),
        unique=True,
        where="name IS NOT NULL",
        method="gin",
    )
    assert create_index(index, concurrently=True) == (
        'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "By Order" ON "order" USING gin '
        '("select" DESC, lower(name)) WHERE name IS NOT NULL'
    )
