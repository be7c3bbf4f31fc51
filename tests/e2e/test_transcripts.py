"""What was kept is listed, found, shown, exported and deleted by commands, on both databases."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from tests.conftest import Place
from tests.e2e.conftest import Known
from tests.e2e.program import Finished, stretto, without_privileges
from tests.fakes.examples import A_GAP, a_transcript, a_transcript_request
from tests.servers import Server, opened

FIRST, SECOND, UNKNOWN = (str(UUID(int=number)) for number in (1, 2, 3))


@dataclass(frozen=True)
class Shell:
    """A data folder, or a server, with two transcripts of one file."""

    home: Path
    database: str

    def run(self, *arguments: str | Path) -> Finished:
        return stretto(*arguments, home=self.home, database=self.database)

    def json(self, *arguments: str) -> dict[str, Any]:
        finished = self.run("transcripts", *arguments, "--json")
        assert finished.code == 0, finished.err
        return finished.document


@pytest.fixture
def shell(place: Place, tmp_path: Path) -> Shell:
    database = opened(place)
    store = SqlTranscriptStore(database, outbox=OutboxWriter())
    for number, gaps in ((1, ()), (2, (A_GAP,))):
        transcript = a_transcript(
            "It was the best of times",
            *gaps,
            id=TranscriptId(UUID(int=number)),
            created_at_s=1e9 + number,
            file="tale\x1b.mp3",
        )
        store.keep(a_transcript_request(), transcript)
    database.close()
    if isinstance(place, Path):
        return Shell(place, "")
    return Shell(tmp_path, place.url)


def test_the_list_goes_from_page_to_page_and_can_be_narrowed(shell: Shell) -> None:
    first = shell.json("list", "--limit", "1")
    assert [row["id"] for row in first["transcripts"]] == [SECOND]
    rest = shell.json("list", "--after", first["next"])
    assert [(row["id"], row["version"]) for row in rest["transcripts"]] == [(FIRST, 1)]
    assert rest["next"] is None
    partial = shell.json("list", "--status", "partial", "--language", "en")
    assert [row["id"] for row in partial["transcripts"]] == [SECOND]
    lines = shell.run("transcripts", "list").out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [SECOND, FIRST]
    assert "\x1b" not in "".join(lines)


def test_words_are_found_with_file_time_and_passage(shell: Shell) -> None:
    hits = shell.json("search", "best", "time")["hits"]
    assert [hit["id"] for hit in hits] == [SECOND, FIRST]
    assert [hits[0]["text"][a:b] for a, b in hits[0]["matches"]] == ["best", "times"]
    assert (hits[0]["start"], hits[0]["end"]) == (0.5, 3.0)
    assert len(shell.run("transcripts", "search", '"best of times"').out.splitlines()) == 2
    nothing = shell.run("transcripts", "search", "nowhere")
    assert (nothing.code, nothing.out, nothing.messages) == (0, "", ["Nothing was found."])


def test_one_is_shown_with_its_other_versions(shell: Shell) -> None:
    document = shell.json("show", FIRST)
    assert document["transcript"]["text"] == "It was the best of times"
    assert [one["version"] for one in document["versions"]] == [2, 1]
    shown = shell.run("transcripts", "show", FIRST).out
    assert "It was the best of times" in shown
    assert SECOND in shown


def test_one_is_exported_in_any_format_to_anywhere(shell: Shell, tmp_path: Path) -> None:
    assert shell.run("transcripts", "export", FIRST).out == "It was the best of times\n"
    target = tmp_path / "out" / "tale.srt"
    assert shell.run("transcripts", "export", FIRST, "-o", target).code == 0
    assert "-->" in target.read_text()
    vtt = shell.run("transcripts", "export", FIRST, "-f", "vtt").out
    assert vtt.startswith("WEBVTT")
    words = shell.run("transcripts", "export", FIRST, "-f", "json", "--words").document
    assert words["segments"][0]["words"]


def test_deleting_asks_first_and_then_leaves_nothing(shell: Shell) -> None:
    asked = shell.run("transcripts", "delete", FIRST)
    assert (asked.code, len(asked.messages)) == (2, 1)
    assert "--yes" in asked.err
    assert shell.run("transcripts", "delete", FIRST, UNKNOWN, "--yes").code == 2
    assert len(shell.json("list")["transcripts"]) == 2
    done = shell.run("transcripts", "delete", FIRST, SECOND, "--yes")
    assert (done.code, len(done.out.splitlines())) == (0, 2)
    assert shell.json("list")["transcripts"] == []
    assert shell.json("search", "best")["hits"] == []


WRONG = {
    "no such transcript": (("show", UNKNOWN), "no transcript"),
    "no id": (("export", "tale.mp3"), "is not an id"),
    "no word": (("search", "?!"), "no word to search for"),
    "no such status": (("list", "--status", "finished"), "complete or partial"),
    "no such page": (("list", "--after", "yesterday"), "end of a page"),
    "no such format": (("export", FIRST, "-f", "doc"), "verbose_json"),
    "too many": (("search", "best", "--limit", "101"), "1 to 100"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_one_sentence_and_wrong_usage(shell: Shell, case: str) -> None:
    arguments, sentence = WRONG[case]
    finished = shell.run("transcripts", *arguments)
    assert (finished.code, finished.out, len(finished.messages)) == (2, "", 1)
    assert sentence in finished.err


def test_a_recording_is_transcribed_kept_recalled_and_deleted_on_a_server(
    server: Server, postgres_template: str, known: Known, tmp_path: Path
) -> None:
    with server.database(template=postgres_template) as address:
        shell = Shell(tmp_path, address.url)
        first = shell.run("transcribe", known.recording)
        assert first.code == 0, first.err
        again = shell.run("transcribe", known.recording)
        assert (again.out, "recalled" in again.err) == (first.out, True)
        assert not (tmp_path / "stretto.sqlite3").exists()
        (row,) = shell.json("list")["transcripts"]
        shell.run("transcripts", "delete", row["id"], "--yes")
        database = opened(address)
        with database.read() as connection:
            assert connection.execute("SELECT count(*) FROM cache_entry").fetchone() == (0,)
        database.close()


def test_answers_that_were_kept_for_a_deleted_recording_are_deleted_with_it(
    known: Known, tmp_path: Path
) -> None:
    shell = Shell(tmp_path / "home", "")
    assert shell.run("transcribe", known.recording).code == 0
    (row,) = shell.json("list")["transcripts"]
    shell.run("transcripts", "delete", row["id"], "--yes")
    with closing(sqlite3.connect(shell.home / "stretto.sqlite3")) as connection:
        for table in ("transcript", "segment", "cache_entry", "audio_file"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_recall_loads_neither_sqlalchemy_nor_alembic(known: Known) -> None:
    recalled = stretto("transcribe", known.recording, home=known.home, imports=True)
    assert recalled.code == 0
    assert recalled.imported.isdisjoint({"sqlalchemy", "alembic", "psycopg", "snowballstemmer"})


# -- trouble with the database


def test_a_server_without_tables_is_upgraded_when_somebody_asks(
    server: Server, tmp_path: Path
) -> None:
    with server.database() as address:
        shell = Shell(tmp_path, address.url)
        before = shell.run("transcripts", "list")
        assert (before.code, before.out) == (1, "")
        assert "Run: stretto db upgrade" in before.err
        assert "Run: stretto db upgrade" in shell.run("db", "indexes").err
        for _ in range(2):
            upgraded = shell.run("db", "upgrade")
            assert (upgraded.code, upgraded.err) == (0, "")
            assert "is up to date" in upgraded.out
        assert shell.json("list")["transcripts"] == []
        indexes = shell.run("db", "indexes")
        assert (indexes.code, indexes.err) == (0, "")
        assert "All declared indexes are there, and no others." in indexes.out


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("postgresql+psycopg://me:geheim@127.0.0.1:1/x", 1, "cannot be reached"),
        ("mysql://me:geheim@db/x", 2, "has to begin with postgresql+psycopg://"),
        ("postgresql+psycopg://me:geheim@db:x/x", 2, "host or port"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_sentence_without_the_password(
    tmp_path: Path, url: str, code: int, sentence: str
) -> None:
    for arguments in (("transcripts", "list"), ("db", "upgrade")):
        finished = stretto(*arguments, home=tmp_path, database=url)
        assert (finished.code, finished.out, len(finished.messages)) == (code, "", 1)
        assert sentence in finished.err
        assert "geheim" not in finished.err


def test_a_damaged_a_newer_and_a_read_only_file_are_one_sentence_each(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "stretto.sqlite3").write_bytes(b"no database at all\n" * 500)
    newer = tmp_path / "newer"
    assert stretto("db", "upgrade", home=newer).code == 0
    with closing(sqlite3.connect(newer / "stretto.sqlite3")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for home, sentence in ((damaged, "Move it away"), (newer, "Upgrade Stretto")):
        before = (home / "stretto.sqlite3").read_bytes()
        for arguments in (("transcripts", "list"), ("db", "upgrade")):
            finished = stretto(*arguments, home=home)
            assert (finished.code, finished.out, len(finished.messages)) == (1, "", 1)
            assert sentence in finished.err
        assert (home / "stretto.sqlite3").read_bytes() == before


def test_a_file_that_may_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert stretto("db", "upgrade", home=home).code == 0
    with closing(sqlite3.connect(home / "stretto.sqlite3")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
        connection.execute("DROP TABLE outbox_event")
    (home / "stretto.sqlite3").chmod(0o444)
    home.chmod(0o555)
    finished = stretto("transcripts", "list", home=home, before=without_privileges())
    home.chmod(0o755)
    assert (finished.code, finished.out) == (1, ""), finished.err
    assert "STRETTO_HOME" in finished.err


def test_the_doctor_says_which_database_it_is(shell: Shell) -> None:
    report = json.loads(shell.run("doctor", "--json").out)
    (check,) = [check for check in report["checks"] if check["name"] == "database"]
    assert check["state"] == "ok"
    assert ("PostgreSQL" if shell.database else "SQLite") in check["found"]
