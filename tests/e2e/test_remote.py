"""The program with an engine that is a service over the network, from the command line to the
ledger of the service."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from tests.e2e.program import Finished, command, environment
from tests.e2e.recordings import hissing, speech
from tests.e2e.serving import served
from tests.fakes.backend import Backend, backend
from tests.fakes.backend_script import Reply, in_turn, refused
from tests.mediagen import media, recorded_speech

KEY = "sk-planted-0123456789"


class Office:
    """The program, set up for one service."""

    def __init__(self, server: Backend, folder: Path) -> None:
        self.server = server
        self.home = folder / "home"
        self.given = {
            "STRETTO_CLOUDRU_URL": server.url,
            "STRETTO_OPENAI_URL": server.url,
            "STRETTO_CLOUDRU_API_KEY": KEY,
            "STRETTO_REMOTE_CA_FILE": str(server.authority_file(folder)),
            "STRETTO_MODEL": "",
        }

    def run(self, *arguments: str | Path, **given: str) -> Finished:
        done = subprocess.run(
            command(*arguments),
            capture_output=True,
            encoding="utf-8",
            env={**environment(self.home), **self.given, **given},
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Finished(code=done.returncode, out=done.stdout, err=done.stderr, seconds=0.0)

    def transcribe(self, *arguments: str | Path, engine: str = "cloudru", **given: str) -> Finished:
        line = ("transcribe", recorded_speech(), "--engine", engine, *arguments)
        return self.run(*line, **given)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with backend(tmp_path) as server:
        yield Office(server, tmp_path)


def test_a_recording_is_transcribed_by_a_service_and_recalled_without_it(office: Office) -> None:
    first = office.transcribe("--format", "json", "--words")
    assert first.code == 0, first.err
    document = first.document
    assert document["engine"] == "cloudru"
    assert document["model"] == "openai/whisper-large-v3"
    assert document["text"].startswith("The recording has")
    assert all(segment["timing"] == "estimated" for segment in document["segments"])
    assert [entry.executed for entry in office.server.entries()] == [True]
    office.server.go_down()
    again = office.transcribe("--format", "json", "--words")
    assert again.document["segments"] == document["segments"]
    assert "recalled" in again.err


def test_the_key_may_lie_in_a_file(office: Office, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    done = office.transcribe(STRETTO_CLOUDRU_API_KEY="", STRETTO_CLOUDRU_API_KEY_FILE=str(path))
    assert done.code == 0, done.err


@pytest.mark.parametrize("content", ["", "two words", None])
def test_a_file_without_a_key_is_a_sentence(
    office: Office, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    done = office.transcribe(STRETTO_CLOUDRU_API_KEY="", STRETTO_CLOUDRU_API_KEY_FILE=str(path))
    assert done.code == 1
    assert str(path) in done.err
    assert office.server.entries() == []


def test_without_a_key_nothing_is_asked(office: Office) -> None:
    usual = "https://foundation-models.api.cloud.ru/v1"
    done = office.transcribe(STRETTO_CLOUDRU_API_KEY="", STRETTO_CLOUDRU_URL=usual)
    assert done.code == 1
    assert "STRETTO_CLOUDRU_API_KEY" in done.err


def test_the_key_is_never_shown_whatever_goes_wrong(office: Office) -> None:
    troubles = (
        lambda _: Reply(),
        lambda _: refused(401, "Incorrect API key provided"),
        lambda _: refused(400, "bad"),
        lambda _: Reply(body=b"<html>"),
    )
    for trouble in troubles:
        office.server.script = trouble
        done = office.transcribe("--debug", "--no-cache", STRETTO_LOG_LEVEL="DEBUG")
        assert KEY not in done.out + done.err
    office.server.go_down()
    done = office.transcribe("--debug", "--no-cache", STRETTO_LOG_LEVEL="DEBUG")
    assert KEY not in done.out + done.err
    kept = b"".join(path.read_bytes() for path in office.home.rglob("*") if path.is_file())
    assert KEY.encode() not in kept


def test_any_server_with_that_interface_will_do_without_a_key(office: Office) -> None:
    done = office.transcribe("--format", "json", engine="openai", STRETTO_OPENAI_ANSWERS="json")
    assert done.code == 0, done.err
    assert done.document["model"] == "whisper-1"


def test_a_stumble_of_the_service_is_not_noticed(office: Office) -> None:
    office.server.script = in_turn(refused(503, "busy"))
    assert office.transcribe().code == 0
    assert [entry.status for entry in office.server.entries()] == [503, 200]


def test_what_a_service_cannot_do_is_a_gap_and_is_asked_again_the_next_time(
    office: Office,
) -> None:
    office.server.script = lambda _: refused(400, "no such voice")
    done = office.transcribe()
    assert done.code == 3
    assert "no such voice" in done.err
    office.server.script = lambda _: Reply()
    assert office.transcribe().code == 0


def test_one_chunk_of_many_that_fails_for_good_costs_only_itself(office: Office) -> None:
    in_pieces = {"STRETTO_REMOTE_CALL_S": "8", "STRETTO_LANGUAGE": "en"}
    office.server.script = lambda call: refused(400, "no") if call.number == 2 else Reply()
    first = office.transcribe("--format", "json", **in_pieces)
    assert first.code == 3
    entries = office.server.entries()
    assert len(entries) >= 5
    assert max(Counter(entry.key for entry in entries).values()) == 1
    (gap,) = first.document["coverage"]["gaps"]
    assert gap["reason"] == "engine_failed"
    office.server.script = lambda _: Reply()
    again = office.transcribe("--format", "json", **in_pieces)
    assert again.code == 0, again.err
    assert [entry.key for entry in office.server.entries()[len(entries) :]] == [entries[2].key]


def test_chunks_are_sent_side_by_side_over_one_connection(office: Office) -> None:
    office.server.script = lambda _: Reply(takes_s=0.5)
    done = office.transcribe(STRETTO_REMOTE_CALL_S="8", STRETTO_LANGUAGE="en")
    assert done.code == 0, done.err
    assert max(entry.in_flight for entry in office.server.entries()) >= 3
    assert office.server.connections == 1


def test_a_key_that_is_not_accepted_ends_the_run(office: Office) -> None:
    office.server.script = lambda _: refused(401, "Incorrect API key provided")
    done = office.transcribe()
    assert done.code == 1
    assert "does not accept the key (401): Incorrect API key provided" in done.err


def test_a_certificate_of_somebody_else_is_refused(office: Office) -> None:
    done = office.transcribe(STRETTO_REMOTE_CA_FILE="")
    assert done.code == 3
    assert "is not trusted" in done.err
    assert office.server.entries() == []


def test_the_plan_of_a_service_asks_nobody(office: Office) -> None:
    done = office.run("transcribe", recorded_speech(), "--engine", "cloudru", "--plan")
    assert done.code == 0, done.err
    assert office.server.entries() == []
    assert office.server.connections == 0


def test_the_local_model_gives_the_words_of_a_service_their_times(office: Office) -> None:
    text = "It was the best of times, it was the worst of times, it was the age of wisdom."
    office.server.script = lambda _: Reply(body=json.dumps({"text": text}).encode())
    done = office.transcribe(
        *("--align", "--words", "--format", "json"), STRETTO_ALIGN_MODEL="tiny.en"
    )
    assert done.code == 0, done.err
    assert done.document["text"] == text
    words = [word for segment in done.document["segments"] for word in segment.get("words", ())]
    heard = [word for word in words if word["probability"] > 0]
    assert len(heard) >= 8
    assert [word["start"] for word in words] == sorted(word["start"] for word in words)


def test_the_server_of_this_program_is_a_service_like_any_other(
    office: Office, tmp_path: Path
) -> None:
    recording = tmp_path / "ten.wav"
    recording.write_bytes(media(speech()[: 10 * SAMPLE_RATE_HZ]))
    with served(tmp_path / "server") as server:
        done = office.run(
            *("transcribe", recording, "--engine", "openai", "--words", "--format", "json"),
            STRETTO_OPENAI_URL=f"{server.url}/v1",
            STRETTO_LANGUAGE="en",
        )
    assert done.code == 0, done.err
    assert "best of times" in done.document["text"]
    segments = done.document["segments"]
    assert not any("timing" in segment for segment in segments)  # they are the model's own
    assert all(segment["words"] for segment in segments)
    assert office.server.entries() == []


def test_an_engine_may_stand_behind_another(office: Office) -> None:
    done = office.transcribe(STRETTO_HEDGE="whisper", STRETTO_HEDGE_MODEL="tiny.en")
    assert done.code == 0, done.err
    assert "instead" not in done.err
    assert len(office.server.entries()) == 1
    wrong = office.transcribe(STRETTO_HEDGE="parrot")
    assert wrong.code == 2
    assert "There is no engine 'parrot'" in wrong.err


def service_line(done: Finished) -> list[str]:
    (line,) = [line for line in done.out.splitlines() if line.split("\t")[1:2] == ["service"]]
    return line.split("\t")


def test_the_doctor_says_whether_the_service_lets_us_in(office: Office) -> None:
    well = service_line(office.run("doctor", STRETTO_ENGINE="cloudru"))
    assert well[0] == "ok"
    assert "over HTTP/2, and the key is accepted" in well[2]
    office.server.script = lambda _: refused(401, "Incorrect API key provided")
    ill = service_line(office.run("doctor", STRETTO_ENGINE="cloudru"))
    assert ill[0] == "broken"
    assert "does not accept the key (401)" in ill[2]
    office.server.go_down()
    gone = service_line(office.run("doctor", STRETTO_ENGINE="cloudru"))
    assert "cannot be reached" in gone[2]
    assert KEY not in "".join((*well, *ill, *gone))


def test_asking_for_help_loads_no_network() -> None:
    done = subprocess.run(
        command("--help", imports=True),
        capture_output=True,
        encoding="utf-8",
        env=dict(os.environ),
        check=True,
    )
    assert not {"h2", "h11", "ssl", "asyncio"} & {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
    }


def test_three_recordings_never_have_more_on_their_way_than_allowed(
    office: Office, tmp_path: Path
) -> None:
    office.server.script = lambda _: Reply(takes_s=0.5)
    paths = [tmp_path / f"{seed}.wav" for seed in range(3)]
    for seed, path in enumerate(paths):
        path.write_bytes(media(hissing(speech(), seed=seed)))
    done = office.run(
        *("transcribe", *paths, "--engine", "openai", "--output", tmp_path / "texts"),
        STRETTO_REMOTE_CALL_S="8",
        STRETTO_REMOTE_CONCURRENCY="4",
        STRETTO_LANGUAGE="en",
    )
    assert done.code == 0, done.err
    entries = office.server.entries()
    assert len(entries) == len({entry.key for entry in entries}) >= 9
    assert max(entry.in_flight for entry in entries) <= 4
    assert office.server.connections == 1
