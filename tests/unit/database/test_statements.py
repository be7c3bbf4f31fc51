"""Statements: their shape without the values, and which ones are refused an explanation."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidStatement
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.shapes import shape
from stretto.contexts.database.statements import numbered, reading_statement, tokens

BOTH = pytest.mark.parametrize("dialect", list(Dialect))
DIALECTS = st.sampled_from(list(Dialect))
SPACES = st.sampled_from([" ", "\n", "\t ", " -- a ' remark\n", " /* a ; remark */ ", "\r\n"])
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(
    lambda text: "'" + text.replace("'", "''") + "'"
)
NUMBERS = st.integers(-(10**9), 10**9).map(str) | st.floats(
    allow_nan=False, allow_infinity=False
).map(repr)
VALUES = TEXTS | NUMBERS | st.sampled_from([":value", "'it''s'", "0x1F"])


@st.composite
def written(draw: st.DrawFn) -> str:
    """One statement, written in one of many ways with one of many values."""
    words = [
        *("SELECT", "t.id", ",", "count(*)", "-", "1", "FROM", "transcript", "AS", "t"),
        *("WHERE", "t.status", "=", draw(VALUES), "AND", "language", "IN", "("),
        *", ".join(draw(st.lists(VALUES, min_size=1, max_size=5))).split(" , "),
        *(")", "AND", "duration_s", ">", draw(NUMBERS), "AND", "file", "IS", "NOT", "NULL"),
    ]
    lower = draw(st.booleans())
    plain = [word if word.startswith("'") or not lower else word.lower() for word in words]
    return draw(SPACES).join(plain) + draw(st.sampled_from(["", ";", " ; -- done"]))


@given(st.lists(written(), min_size=2, max_size=3), DIALECTS)
def test_values_lists_comments_and_spaces_do_not_change_the_shape(
    statements: list[str], dialect: Dialect
) -> None:
    assert {shape(statement, dialect) for statement in statements} == {
        "select t.id, count (*) - ? from transcript as t where t.status = ? "
        "and language in (?) and duration_s > ? and file is not null"
    }


@given(st.text() | written(), DIALECTS)
def test_the_shape_of_a_shape_is_itself(text: str, dialect: Dialect) -> None:
    once = shape(text, dialect)
    if len(once) < 4000 and _is_readable(text, dialect):
        assert shape(once, dialect) == once


@given(st.text(), DIALECTS)
def test_no_text_whatever_breaks_the_reader(text: str, dialect: Dialect) -> None:
    shape(text, dialect)
    with suppress(InvalidStatement):
        read = reading_statement(text, dialect)
        assert read.lower().lstrip("(").startswith(("select", "with", "values", "table"))


def _is_readable(text: str, dialect: Dialect) -> bool:
    try:
        return bool(tokens(text, dialect))
    except InvalidStatement:
        return False


@BOTH
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE c = 1"),
        ("SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b <> 1"),
        ('SELECT "A" FROM t', "SELECT a FROM t"),
        ("SELECT a FROM t WHERE b IN (1)", "SELECT a FROM t WHERE b IN (SELECT 1)"),
        ("SELECT a - 1 FROM t", "SELECT a FROM t"),
        ("SELECT a FROM t WHERE b IS NULL", "SELECT a FROM t WHERE b = 1"),
    ],
)
def test_another_question_has_another_shape(dialect: Dialect, one: str, other: str) -> None:
    assert shape(one, dialect) != shape(other, dialect)


def test_casts_in_lists_and_rows_of_values_are_folded_too() -> None:
    postgresql = Dialect.POSTGRESQL
    listed = "SELECT a FROM t WHERE b IN (:a::UUID, :b::UUID)"
    assert shape(listed, postgresql) == "select a from t where b in (?::uuid)"
    rows = "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'), (-3, 'z')"
    assert shape(rows, postgresql) == "insert into t (a, b) values (?, ?)"


def test_what_a_dialect_writes_its_own_way_is_read_its_own_way() -> None:
    assert shape("SELECT $x$it's$x$, E'\\'', a[1]", Dialect.POSTGRESQL) == "select ?, ?, a [?]"
    assert shape("SELECT `a b`, [c d] FROM t WHERE e = ?1", Dialect.SQLITE) == (
        "select `a b`, [c d] from t where e = ?"
    )


@BOTH
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "  select 1 ; -- all",
        "(SELECT 1) UNION (SELECT 2)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "VALUES (1), (2)",
        "SELECT ';', '/*', \"delete\" FROM t -- ; DROP TABLE t",
        "SELECT replace(a, 'x', 'y') FROM t",
        "SELECT 1 FOR UPDATE",
    ],
)
def test_what_only_reads_is_let_through(dialect: Dialect, sql: str) -> None:
    assert reading_statement(sql, dialect) in sql


@BOTH
@pytest.mark.parametrize(
    ("sql", "because"),
    [
        ("", "no statement"),
        (" ;; -- nothing", "no statement"),
        ("SELECT 1; DROP TABLE transcript", "several"),
        ("SELECT 1;; SELECT 2", "several"),
        ("EXPLAIN ANALYZE DELETE FROM transcript", "without EXPLAIN"),
        ("ANALYZE SELECT 1", "without ANALYZE"),
        ("/* SELECT */ analyse delete from t", "without ANALYSE"),
        ("DELETE FROM transcript", "begins with 'DELETE'"),
        ("INSERT INTO t SELECT 1", "begins with 'INSERT'"),
        ("UPDATE t SET a = 1", "begins with 'UPDATE'"),
        ("DROP TABLE transcript", "begins with 'DROP'"),
        ("PRAGMA writable_schema = 1", "begins with 'PRAGMA'"),
        ("COPY t TO PROGRAM 'rm -rf /'", "begins with 'COPY'"),
        ('"select" 1', "begins with"),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", "says DELETE"),
        ("WITH a AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM a", "says UPDATE"),
        ("SELECT * INTO other FROM t", "says INTO"),
        ("SELECT 'open", "never closed"),
        ("SELECT /* open", "never closed"),
        ("SELECT 1\0", "no zero character"),
        ("SELECT 1 -- " + "x" * 100_000, "at most 100,000"),
        ("nonsense", "begins with 'nonsense'"),
    ],
)
def test_what_does_more_than_read_is_refused(dialect: Dialect, sql: str, because: str) -> None:
    with pytest.raises(InvalidStatement, match=because):
        reading_statement(sql, dialect)


def test_a_comment_in_a_comment_hides_what_the_server_would_not_see() -> None:
    hidden = "SELECT 1 /* a /* b */ ; DROP TABLE t /* c */ */"
    assert reading_statement(hidden, Dialect.POSTGRESQL).startswith("SELECT 1")
    with pytest.raises(InvalidStatement, match="several"):
        reading_statement(hidden, Dialect.SQLITE)


def test_a_comment_ends_where_the_server_says() -> None:
    hidden = "SELECT 1 -- a\r; DROP TABLE t"
    assert reading_statement(hidden, Dialect.SQLITE) == "SELECT 1"
    with pytest.raises(InvalidStatement, match="several"):
        reading_statement(hidden, Dialect.POSTGRESQL)


def test_parameters_are_numbered_and_pages_assumed() -> None:
    sql = "SELECT 1 FROM t WHERE a = :a::UUID AND (b < :b OR b = :a) AND c ? 'k' LIMIT :n OFFSET :o"
    assert numbered(sql, Dialect.POSTGRESQL) == (
        "SELECT 1 FROM t WHERE a = $1::UUID AND (b < $2 OR b = $1) AND c ? 'k' LIMIT 20 OFFSET 0",
        2,
    )
    assert numbered("SELECT ':a' FROM t WHERE a = :a AND b = ?", Dialect.SQLITE) == (
        "SELECT ':a' FROM t WHERE a = ? AND b = ?",
        2,
    )
