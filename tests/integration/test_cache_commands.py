"""`stretto cache …` and the cache in `stretto doctor`: what an operator reads and does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stretto.application import Archive
from stretto.bootstrap import build_archive, build_database
from stretto.bootstrap.caching import build_caching
from stretto.contexts.caching.addressing import ContentAddresser
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import InvalidOption, MediaNotFound
from stretto.contexts.core.identifiers import FileHash
from stretto.contexts.core.recognition import RecognitionRequest
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.interfaces.cli.main import app
from tests.caches import RedisServer
from tests.conftest import Place
from tests.fakes.examples import (
    a_recognition,
    a_recognition_request,
    a_transcript,
    a_transcript_request,
    sha256_of,
)
from tests.servers import Database, opened, settings_of


class House:
    """A database with three cached answers, and the program over it."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch, redis_url: str = "") -> None:
        self.settings = settings_of(place, redis_url=redis_url, cache_tag="project")
        monkeypatch.setenv("STRETTO_HOME", str(self.settings.home))
        monkeypatch.setenv("STRETTO_DATABASE_URL", self.settings.database_url)
        monkeypatch.setenv("STRETTO_REDIS_URL", redis_url)
        self.database: Database = build_database(self.settings)
        self.caching = build_caching(self.settings, self.database, EventBus())
        self.caching.management.status()  # Redis is reached before it is needed
        for name in ("a", "b", "c"):
            self.caching.cache.keep(self.request(name), a_recognition(f"the text of {name}"))

    def request(self, name: str) -> RecognitionRequest:
        return replace(a_recognition_request(name), source=FileHash(sha256_of(f"file {name}")))

    def key(self, name: str) -> str:
        return str(ContentAddresser().key(self.request(name)))

    def run(self, *arguments: str) -> Any:
        """What a command says with --json."""
        answer = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return json.loads(answer.stdout)

    def said(self, *arguments: str) -> str:
        answer = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    def left(self) -> str:
        with self.database.read() as connection:
            keys = {row[0] for row in connection.execute("SELECT key FROM cache_entry").fetchall()}
        return "".join(n for n in "abc" if self.key(n).removeprefix("transcript:") in keys)


@pytest.fixture
def house(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    house = House(place, monkeypatch)
    yield house
    house.database.close()


@pytest.fixture
def with_redis(
    sqlite_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shared_redis: RedisServer,
) -> Iterator[House]:
    house = House(tmp_path / "home", monkeypatch, shared_redis.url)
    yield house
    house.caching.management.close()
    house.database.close()


def test_the_statistics_name_levels_hits_and_what_was_saved(house: House) -> None:
    for _ in range(3):
        house.caching.cache.find(house.request("a"))
    house.caching.cache.find(house.request("unknown"))
    house.caching.cache.flush()
    found = house.run("cache", "stats")
    l1, l3 = found["levels"]
    assert (l1["level"], l1["asked"], l1["hits"], l1["hit_rate"]) == ("L1", 4, 3, 0.75)
    assert (l3["level"], l3["asked"], l3["hits"]) == ("L3", 1, 0)
    assert (l3["entries"], l3["speech_s"], l3["working"]) == (3, 7.5, True)
    assert (found["lookups"], found["hits"]) == (4, 3)
    assert found["saved_s"] == {"whisper": 7.5}
    assert found["most_used"][0]["key"] == house.key("a")
    assert found["most_used"][0]["hits"] == 3
    assert len(house.run("cache", "stats", "--most-used", "0")["most_used"]) == 0
    told = house.said("cache", "stats")
    assert "3 entries" in told
    assert "4 lookups, 3 hits (75.0 %)" in told


def test_an_entry_is_shown_with_its_origin_and_text(house: House) -> None:
    found = house.run("cache", "show", house.key("b"))
    assert found["key"] == house.key("b")
    assert found["levels"] == ["L3"]
    assert (found["engine"], found["model"], found["tag"]) == ("whisper", "tiny.en", "project")
    assert (found["text"], found["sound"]) == ("the text of b", True)
    assert found["source"] == sha256_of("file b")
    assert "the text of b" in house.said("cache", "show", house.key("b").split(":")[1])


def test_a_key_that_is_not_there_is_named(house: House) -> None:
    with pytest.raises(InvalidOption, match="The cache has no transcript:"):
        house.said("cache", "show", house.key("nothing"))


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--file", sha256_of("file a")], "bc"),
        (["--engine", "whisper"], ""),
        (["--engine", "whisper", "--model", "base"], "abc"),
        (["--model", "tiny.en"], ""),
        (["--tag", "project"], ""),
        (["--tag", "other"], "abc"),
        (["--older-than", "7d"], "abc"),
        (["--older-than", "0s"], ""),
        (["--all"], ""),
    ],
    ids=lambda value: " ".join(value)[:24],
)
def test_what_is_selected_goes_and_nothing_else(
    house: House, options: list[str], left: str
) -> None:
    answer = house.run("cache", "invalidate", *options)
    assert answer["removed"]["L3"] == 3 - len(left)
    assert house.left() == left


def test_the_answers_of_a_recording_go_by_its_file_or_its_transcript(
    house: House, tmp_path: Path
) -> None:
    recording = tmp_path / "talk.wav"
    recording.write_bytes(b"file a")
    house.run("cache", "invalidate", "--file", str(recording))
    assert house.left() == "bc"
    transcript = a_transcript(file_hash=FileHash(sha256_of("file b")))
    store = SqlTranscriptStore(house.database, outbox=OutboxWriter())
    store.keep(a_transcript_request("file b"), transcript)
    house.run("cache", "invalidate", "--transcript", str(transcript.id))
    assert house.left() == "c"
    assert store.get(transcript.id) == transcript


@pytest.mark.parametrize("options", [[], ["--all", "--tag", "t"]])
def test_nothing_goes_unless_it_is_said_what(house: House, options: list[str]) -> None:
    with pytest.raises(InvalidOption, match="Say what is to go"):
        house.said("cache", "invalidate", *options)
    assert house.left() == "abc"


@pytest.mark.parametrize("age", ["7", "a week", "-1d"])
def test_an_age_that_is_none_is_refused(house: House, age: str) -> None:
    with pytest.raises(InvalidOption, match="An age is written as"):
        house.said("cache", "invalidate", f"--older-than={age}")


def test_a_file_that_is_not_there_is_named(house: House) -> None:
    with pytest.raises(MediaNotFound, match=r"no file nowhere\.wav"):
        house.said("cache", "invalidate", "--file", "nowhere.wav")


def test_clearing_asks_first(house: House) -> None:
    with pytest.raises(InvalidOption, match="--yes"):
        house.said("cache", "clear")
    assert house.left() == "abc"
    assert house.run("cache", "clear", "--yes")["selection"] == "all"
    assert house.left() == ""


def test_deleting_the_last_transcript_of_a_recording_takes_its_answers_along(
    with_redis: House,
) -> None:
    house = with_redis
    transcript = a_transcript(file_hash=FileHash(sha256_of("file a")))
    SqlTranscriptStore(house.database, outbox=OutboxWriter()).keep(
        a_transcript_request("file a"), transcript
    )
    before = house.run("cache", "stats")["levels"]
    assert [level["entries"] for level in before] == [0, 3, 3]
    archive: Archive = build_archive(house.settings)
    with archive:
        archive.delete(transcript.id)
    after = house.run("cache", "stats")["levels"]
    assert [level["entries"] for level in after] == [0, 2, 2]


def test_warming_brings_what_is_used_most_into_redis(with_redis: House) -> None:
    house = with_redis
    shared = house.caching.management.levels[1].store
    for name in "abc":
        shared.delete(house.caching.cache.look_up(house.request(name)).key)
    assert house.run("cache", "stats")["levels"][1]["entries"] == 0
    warmed = house.run("cache", "warm", "--seconds", "5", "--mb", "1")
    assert (warmed["entries"], warmed["end"]) == (3, "everything is loaded")
    assert house.run("cache", "stats")["levels"][1]["entries"] == 3
    assert "3 entries" in house.said("cache", "warm")


def test_the_doctor_shows_the_levels_and_what_is_wrong_with_them(
    with_redis: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checks() -> dict[str, Any]:
        answer = CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)
        return {check["name"]: check for check in json.loads(answer.stdout)["checks"]}

    found = checks()
    assert (found["cache L2"]["state"], found["cache L3"]["state"]) == ("ok", "ok")
    assert "3 entries" in found["cache L3"]["found"]
    monkeypatch.setenv("STRETTO_REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    broken = checks()["cache L2"]
    assert (broken["state"], broken["needed"]) == ("broken", False)
    assert "secret" not in json.dumps(broken)


def test_the_doctor_makes_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRETTO_HOME", str(tmp_path / "home"))
    CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)
    assert not (tmp_path / "home" / "stretto.sqlite3").exists()


def test_without_its_package_redis_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stretto.bootstrap.caching.util.find_spec", lambda _: None)
    settings = settings_of(tmp_path, redis_url="redis://localhost")
    database = opened(tmp_path)
    with pytest.raises(InvalidOption, match=r"pip install 'stretto\[redis\]'"):
        build_caching(settings, database, EventBus())
    database.close()
