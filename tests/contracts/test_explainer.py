"""What every explainer promises, on the real databases."""

from __future__ import annotations

from contextlib import suppress

import pytest
from sqlalchemy import Engine, text

from stretto.contexts.core.errors import InvalidStatement, StorageUnavailable
from stretto.contexts.database.adapters.explain_postgresql import PostgresqlExplainer
from stretto.contexts.database.adapters.explain_sqlite import SqliteExplainer
from stretto.contexts.database.advice import IndexDefinition, Operation
from stretto.contexts.database.ports import Explainer
from tests.library import fingerprint

BY_STATUS = IndexDefinition(
    name="transcript_status", table="transcript", columns=("status", "created_at")
)


def explainer_of(engine: Engine) -> Explainer:
    if engine.dialect.name == "sqlite":
        return SqliteExplainer(engine)
    return PostgresqlExplainer(engine)


@pytest.fixture
def explainer(library: Engine) -> Explainer:
    return explainer_of(library)


def test_a_full_scan_is_told_from_a_search(explainer: Explainer) -> None:
    scan = explainer.plan("SELECT * FROM transcript AS t WHERE t.status = 'partial'")
    steps = [step for step in scan.walk() if step.table == "transcript"]
    assert [step.operation for step in steps] == [Operation.FULL_SCAN]
    search = explainer.plan("SELECT * FROM transcript WHERE id = 7")
    assert Operation.FULL_SCAN not in {step.operation for step in search.walk()}


def test_a_sort_is_seen(explainer: Explainer) -> None:
    plan = explainer.plan("SELECT body FROM segment ORDER BY body")
    assert Operation.SORT in {step.operation for step in plan.walk()}


def test_parameters_need_no_values(explainer: Explainer) -> None:
    statement = "SELECT id FROM transcript WHERE id = :id AND status = :status LIMIT :n OFFSET :o"
    plan = explainer.plan(statement)
    assert plan.statement == statement
    assert Operation.FULL_SCAN not in {step.operation for step in plan.walk()}
    assert explainer.plan(statement) == plan  # what was prepared for the first is gone


def test_an_index_is_tried_and_nothing_of_it_stays(explainer: Explainer, library: Engine) -> None:
    before = fingerprint(library)
    trial = explainer.trial(
        "SELECT * FROM transcript WHERE status = :s ORDER BY created_at LIMIT 20", [BY_STATUS]
    )
    assert not trial.before.uses("transcript_status")
    assert trial.after.uses("transcript_status")
    if trial.before.cost is not None and trial.after.cost is not None:
        assert trial.after.cost < trial.before.cost / 10
    assert fingerprint(library) == before


def test_measuring_counts_rows_and_milliseconds(explainer: Explainer) -> None:
    result = explainer.measure("SELECT * FROM transcript WHERE status = 'partial'")
    assert result.rows == 120
    assert result.duration_ms > 0


def test_what_has_parameters_cannot_be_measured(explainer: Explainer) -> None:
    with pytest.raises(InvalidStatement, match="values in place of its parameters"):
        explainer.measure("SELECT * FROM transcript WHERE id = :id")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1; DELETE FROM setting",
        "SELECT 1; DELETE FROM setting; SELECT 2",
        "DELETE FROM setting",
        "INSERT INTO setting (name) VALUES ('x')",
        "UPDATE setting SET value = 'x'",
        "DROP TABLE setting",
        "ANALYZE DELETE FROM setting",
        "(ANALYZE) DELETE FROM setting",
        "COMMIT",
        "SELECT * FROM nowhere",
        "SELECT nothing FROM setting",
        "SELECT",
        "WITH gone AS (DELETE FROM setting RETURNING name) SELECT * FROM gone",
        "SELECT 1 UNION",
        "$$",
    ],
)
@pytest.mark.parametrize("way", ["plan", "measure", "trial"])
def test_even_without_the_first_lock_nothing_is_ever_changed(
    library: Engine, statement: str, way: str
) -> None:
    before = fingerprint(library)
    explainer = explainer_of(library)
    with suppress(InvalidStatement, StorageUnavailable):
        if way == "trial":
            explainer.trial(statement, [BY_STATUS])
        else:
            getattr(explainer, way)(statement)
    assert fingerprint(library) == before
    with library.begin() as connection:  # and the connection is fit for writing again
        connection.execute(text("UPDATE setting SET value = 'c'"))


def test_what_the_database_does_not_understand_is_a_sentence(explainer: Explainer) -> None:
    with pytest.raises(InvalidStatement, match=r"does not understand that: .*nowhere.*\.$"):
        explainer.plan("SELECT * FROM nowhere")


def test_a_statement_that_runs_too_long_is_stopped(
    explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = type(explainer).__module__
    shorter = {"LONGEST_RUN_S": 0.05} if "sqlite" in module else {"LONGEST_RUN_MS": 50}
    for name, value in shorter.items():
        monkeypatch.setattr(f"{module}.{name}", value)
    with pytest.raises(Exception, match="stopped"):
        explainer.measure("SELECT count(*) FROM segment a, segment b, segment c")
