"""`stretto db indexes`, `explain` and `advise` on real databases: what a person reads."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from stretto.bootstrap import advisers_of, build_advisers
from stretto.contexts.core.errors import InvalidOption, InvalidStatement
from stretto.contexts.database.advice import IndexDefinition
from stretto.contexts.database.advisers import Advisers
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.observations import (
    CallSite,
    LazyLoad,
    LoadingState,
    ObservedStatement,
)
from stretto.interfaces.cli.db_advice import advise, decisions, explain, show_indexes
from stretto.interfaces.cli.db_pages import shown_ms
from tests.conftest import Place
from tests.library import fingerprint
from tests.servers import opened, settings_of

BY_STATUS = IndexDefinition(
    name="transcript_status",
    table="transcript",
    columns=("status", "created_at"),
    serves="Lists by status.",
)
SITE = CallSite(module="shop.orders", function="show", line=12)
SLOW = "SELECT id FROM transcript WHERE status = :status ORDER BY created_at LIMIT :n"
ID = "shop.orders:show/Transcript.segments"


@pytest.fixture
def advisers(library: Engine) -> Iterator[Advisers]:
    with advisers_of(library, (BY_STATUS,), place="the library", slow_ms=100) as advisers:
        yield advisers


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def something_was_seen(advisers: Advisers) -> None:
    for number in range(6):
        advisers.loading.lazy_loaded(LazyLoad(unit=1, site=SITE, path="Transcript.segments"))
        observed = ObservedStatement(
            unit=2,
            statement=SLOW,
            shape="select id from transcript where status = ? order by created_at limit ?",
            arguments=number,
            duration_ms=400.0,
            rows=None,
            site=SITE,
        )
        advisers.optimizer.statement_ran(observed)
        advisers.loading.statement_ran(observed)
    advisers.loading.unit_ended(2)


def test_a_missing_index_is_shown_then_created_then_in_order(
    advisers: Advisers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_indexes(advisers, apply=False, as_json=False) == 1
    assert capsys.readouterr().out.splitlines() == [
        "missing\ttranscript\ttranscript_status\tstatus, created_at\t"
        "It is not there. Lists by status.",
        "1 to create or replace: stretto db indexes --apply",
    ]
    assert show_indexes(advisers, apply=True, as_json=False) == 0
    repaired, line, verdict = capsys.readouterr().out.splitlines()
    assert repaired.startswith("Repaired transcript_status: CREATE INDEX")
    assert line.startswith("ok\t")
    assert verdict == "All declared indexes are there, and no others."


def test_indexes_can_be_read_by_programs(
    advisers: Advisers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_indexes(advisers, apply=True, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["database"] == "the library"
    assert [step["name"] for step in document["done"]] == ["transcript_status"]
    assert [(i["state"], i["columns"]) for i in document["indexes"]] == [
        ("ok", ["status", "created_at"])
    ]


def test_the_programs_own_indexes_are_all_declared_and_all_there(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    with build_advisers(settings_of(place)) as advisers:
        assert show_indexes(advisers, apply=False, as_json=True) == 0
        indexes = json.loads(capsys.readouterr().out)["indexes"]
        assert [index["name"] for index in indexes if index["state"] != "ok"] == []
        assert [index["name"] for index in indexes if not index["serves"]] == []
        on_postgresql = advisers.dialect is Dialect.POSTGRESQL
        assert ("segment_words" in {index["name"] for index in indexes}) is on_postgresql


def test_the_programs_own_indexes_are_made_again_as_the_migrations_made_them(place: Place) -> None:
    made = "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
    with build_advisers(settings_of(place)) as advisers:
        if advisers.dialect is Dialect.POSTGRESQL:
            made = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname"
        names = [finding.definition.name for finding in advisers.indexes.compare()]
        database = opened(place)
        with database.write() as connection:
            before = [str(row[0]).split(" ON ")[1] for row in connection.execute(made).fetchall()]
            for name in names:
                connection.execute(f"DROP INDEX {name}")
        assert sorted(step.name for step in advisers.indexes.apply()) == sorted(names)
        with database.read() as connection:
            after = [str(row[0]).split(" ON ")[1] for row in connection.execute(made).fetchall()]
        database.close()
    assert after == before


def test_an_index_that_nobody_declared_is_left_to_the_user(
    advisers: Advisers, library: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    with library.begin() as connection:
        connection.execute(text("CREATE INDEX stranger ON segment (body)"))
    assert show_indexes(advisers, apply=True, as_json=False) == 1
    assert "None is missing. What is unused, double or undeclared is for you" in (
        capsys.readouterr().out
    )


def test_an_explanation_names_the_scan_and_the_index_that_was_proven(
    advisers: Advisers, library: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    before = fingerprint(library)
    question = "SELECT * FROM transcript WHERE language = 'ru' AND created_at < 9 -- why slow?"
    assert explain(advisers, question, measure=False, as_json=False) == 0
    out = capsys.readouterr().out
    assert "full-scan: Reads all 12,000 rows of transcript, one by one." in out
    assert "would help: CREATE INDEX" in out
    assert "ON transcript (language, created_at)" in out
    assert "transcript_language_created_at" in out.splitlines()[-1]
    if library.dialect.name == "postgresql":
        assert "Cost in the planner's units:" in out
        assert "Tried and undone: the cost of the plan falls from" in out
    assert fingerprint(library) == before


def test_a_measured_explanation_says_how_many_rows_and_how_long(
    advisers: Advisers, capsys: pytest.CaptureFixture[str]
) -> None:
    question = "SELECT * FROM transcript WHERE status = 'partial'"
    assert explain(advisers, question, measure=True, as_json=False) == 0
    assert "It was run: 120 rows in " in capsys.readouterr().out
    assert explain(advisers, question, measure=True, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["result"]["rows"] == 120


def test_a_good_plan_is_called_good(advisers: Advisers, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        explain(advisers, "SELECT * FROM transcript WHERE id = 7", measure=False, as_json=False)
        == 0
    )
    assert "Nothing in this plan costs more than it has to." in capsys.readouterr().out


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM setting",
        "SELECT 1; DELETE FROM setting",
        "EXPLAIN ANALYZE DELETE FROM setting",
        "DROP TABLE setting",
        "SELECT * FROM nowhere",
        "]]]]",
        "SELECT 'open",
        "",
    ],
)
@pytest.mark.parametrize("measure", [True, False])
def test_hostile_statements_are_refused_in_one_sentence(
    advisers: Advisers, library: Engine, sql: str, measure: bool
) -> None:
    before = fingerprint(library)
    with pytest.raises(InvalidStatement) as refused:
        explain(advisers, sql, measure=measure, as_json=False)
    assert len(refused.value.message.splitlines()) == 1
    assert fingerprint(library) == before


def test_advice_shows_what_was_slow_and_what_was_asked_row_by_row(
    advisers: Advisers, capsys: pytest.CaptureFixture[str]
) -> None:
    something_was_seen(advisers)
    assert advise(advisers, decisions=(), as_json=False) == 0
    out = capsys.readouterr().out
    assert "Slow statements: 1" in out
    assert "6 times, 2.4 s in all, 400.0 ms at worst; asked for by shop.orders:show" in out
    assert "ON transcript (status, created_at)" in out
    assert f"learned\tTranscript.segments\tshop.orders:show, line 12\t6\t{ID}" in out
    assert "6 times in one unit of work, by shop.orders:show, line 12." in out


def test_advice_can_be_read_by_programs_and_decided_about(
    advisers: Advisers, capsys: pytest.CaptureFixture[str]
) -> None:
    something_was_seen(advisers)
    wanted = decisions(pin=[], off=[], unpin=[])
    assert advise(advisers, decisions=wanted, as_json=True) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [slow["count"] for slow in document["slow_statements"]] == [6]
    assert document["slow_statements"][0]["explanation"]["advice"]
    assert [one["most_statements"] for one in document["repeated_statements"]] == [6]
    for state, typed in (
        (LoadingState.PINNED, "pin"),
        (LoadingState.OFF, "off"),
        (LoadingState.LEARNED, "unpin"),
    ):
        wanted = decisions(**{"pin": [], "off": [], "unpin": [], typed: [ID]})
        assert advise(advisers, decisions=wanted, as_json=True) == 0
        loadings = json.loads(capsys.readouterr().out)["loadings"]
        assert [(one["id"], one["state"]) for one in loadings] == [(ID, state)]
    with pytest.raises(InvalidOption):
        advise(advisers, decisions=decisions(pin=["x"], off=[], unpin=[]), as_json=False)


def test_where_nothing_was_seen_it_says_so(
    advisers: Advisers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert advise(advisers, decisions=(), as_json=False) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Slow statements: none seen",
        "Relationships asked for row by row: none seen",
        "Statements asked for row by row: none seen",
    ]


def test_on_a_terminal_there_are_tables_and_no_foreign_markup(
    advisers: Advisers, library: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with library.begin() as connection:
        connection.execute(text('CREATE INDEX "[red]odd" ON segment (body)'))
    something_was_seen(advisers)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    show_indexes(advisers, apply=False, as_json=False)
    advise(advisers, decisions=(), as_json=False)
    explain(
        advisers, "SELECT '[bold]' FROM transcript WHERE file = '[x]'", measure=False, as_json=False
    )
    assert "[red]odd" in terminal.getvalue()
    assert "relationship" in terminal.getvalue()


def test_times_are_written_in_the_unit_that_suits() -> None:
    assert [shown_ms(ms) for ms in (0.04, 4.26, 999.9, 12_345)] == [
        "0.0 ms",
        "4.3 ms",
        "999.9 ms",
        "12.3 s",
    ]
