"""The program advises about its own database, as its users call it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.conftest import Known
from tests.e2e.program import stretto


def test_the_programs_own_indexes_are_as_declared(known: Known) -> None:
    answer = stretto("db", "indexes", "--json", home=known.home)
    assert answer.code == 0, answer.err
    states = {index["name"]: index["state"] for index in answer.document["indexes"]}
    assert set(states.values()) == {"ok"}
    assert "transcript_request" in states


def test_a_statement_is_explained_and_a_dangerous_one_refused(known: Known) -> None:
    answer = stretto("db", "explain", "SELECT * FROM transcript WHERE id = 'x'", home=known.home)
    assert (answer.code, answer.err) == (0, "")
    assert "SEARCH transcript" in answer.out
    refused = stretto("db", "explain", "DELETE FROM transcript", home=known.home)
    assert refused.code == 2
    assert refused.out == ""
    assert len(refused.messages) == 1
    with closing(sqlite3.connect(known.home / "stretto.sqlite3")) as connection:
        assert connection.execute("SELECT count(*) FROM transcript").fetchone() != (0,)


def test_advice_without_anything_seen_is_short(home: Path) -> None:
    assert stretto("db", "upgrade", home=home).code == 0
    answer = stretto("db", "advise", home=home)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.count("none seen") == 3


def test_without_a_database_there_is_a_sentence_and_no_file(home: Path) -> None:
    for command in (["indexes"], ["advise"], ["explain", "SELECT 1"]):
        answer = stretto("db", *command, home=home)
        assert answer.code == 1
        assert "There is no database" in answer.err
        assert len(answer.messages) == 1
    assert not home.exists()


def test_a_file_that_is_no_database_is_a_sentence(home: Path) -> None:
    home.mkdir()
    (home / "stretto.sqlite3").write_bytes(b"no database at all, but long enough to be read" * 9)
    answer = stretto("db", "indexes", home=home)
    assert answer.code == 1
    assert len(answer.messages) == 1


def test_nobody_else_pays_for_it(known: Known) -> None:
    for command in (["--help"], ["transcribe", str(known.recording)], ["transcripts", "list"]):
        answer = stretto(*command, home=known.home, imports=True)
        assert answer.code == 0, answer.err
        assert answer.imported.isdisjoint({"sqlalchemy", "alembic"}), command
