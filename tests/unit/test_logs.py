"""The log: ids on every line, secrets on none, and one line is one line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from stretto.bootstrap.logs import FollowedWork, set_up_logging, set_up_plain_logging
from stretto.contexts.core import events
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import AudioHash, ChunkId, Timestamp, TranscriptId
from stretto.contexts.core.log_context import working_for
from stretto.settings import Settings

CANARY = "canary-a8f31"
SECRETS = {
    "cloudru_api_key": CANARY,
    "openai_api_key": f"{CANARY}-2",
    "alert_webhook_secret": f"{CANARY}-3",
    "redis_url": f"redis://user:{CANARY}-4@host:6379/0",
    "database_url": f"postgresql+psycopg://user:{CANARY}-5@host/db",
    "alert_smtp_url": f"smtp://user:{CANARY}%2F6@host/?from=a@x.org&to=b@x.org",
}
logger = logging.getLogger("stretto.tests")
AT = Timestamp(1_000_000.0)


@pytest.fixture
def log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Callable[[], list[str]]]]:
    before = logging.getLogger().handlers[:], logging.getLogger().level

    def begin(form: str, **given: Any) -> Callable[[], list[str]]:
        stream = io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        set_up_logging(Settings(home=tmp_path, log_format=form, log_level="DEBUG", **given))
        return lambda: stream.getvalue().splitlines()

    yield begin
    logging.getLogger().handlers[:], logging.getLogger().level = before


def test_a_line_of_json_has_the_ids_of_what_is_worked_on(log: Any) -> None:
    lines = log("json")
    with working_for(job="j-1"), working_for(request="r-1"):
        logger.info("Something of %s.", "note")
    (line,) = map(json.loads, lines())
    assert (line["job"], line["request"], line["event"]) == ("j-1", "r-1", "Something of note.")
    assert (line["level"], line["logger"]) == ("info", "stretto.tests")
    assert line["timestamp"].endswith("Z")


def test_a_plain_line_has_them_too(log: Any) -> None:
    lines = log("plain")
    with working_for(job="j-1"):
        logger.warning("Something.")
    logger.warning("Else.")
    assert lines() == [
        "WARNING stretto.tests: Something. [job=j-1]",
        "WARNING stretto.tests: Else.",
    ]


def test_a_chunk_on_another_thread_has_the_ids_of_its_file_and_job(log: Any) -> None:
    lines, bus = log("json"), EventBus()
    FollowedWork().subscribe(bus)
    file, chunk = TranscriptId.new(), ChunkId(0, AudioHash("0" * 64))

    def work() -> None:
        bus.publish(
            events.ChunkProcessingStarted(
                at=AT, transcript_id=file, chunk_id=chunk, start_s=0.0, end_s=1.0
            )
        )
        logger.info("In the chunk.")

    with working_for(job="j-1"):
        started = events.FileProcessingStarted(
            at=AT, transcript_id=file, file="a", claimed_duration_s=None
        )
        bus.publish(started)
        thread = Thread(target=work)
        thread.start()
        thread.join()
    (line,) = map(json.loads, lines())
    assert (line["job"], line["file"], line["chunk"]) == ("j-1", str(file), str(chunk))


@pytest.mark.parametrize("form", ["plain", "json"])
@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_in_any_line(log: Any, form: str, name: str) -> None:
    lines = log(form, **{name: SECRETS[name]})
    logger.warning("It is %s.", SECRETS[name])
    try:
        raise ValueError(f"{SECRETS[name]} was wrong")
    except ValueError:
        logger.exception("Trouble with %r", {"key": SECRETS[name]})
    assert len(lines()) >= 2
    assert CANARY not in "\n".join(lines())


@pytest.mark.parametrize("form", ["plain", "json"])
def test_a_file_whose_name_has_a_line_break_forges_no_line(log: Any, form: str) -> None:
    lines = log(form)
    logger.warning("Reading %s.", "a.wav\nERROR stretto: all is lost\r\x1b[2J")
    assert len(lines()) == 1


def test_a_traceback_is_in_the_log(log: Any) -> None:
    lines = log("json")
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        logger.exception("A bug.")
    (line,) = map(json.loads, lines())
    assert "ZeroDivisionError: by nothing" in line["exception"]


def test_a_traceback_that_names_a_file_commands_no_terminal(log: Any) -> None:
    lines = log("plain")
    try:
        raise OSError("There is no a\x1b[2Jb\x07.mp3.")
    except OSError:
        logger.exception("talk\nERROR forged")
    first, *trace = lines()
    assert first == r"ERROR stretto.tests: talk\nERROR forged"
    assert trace[-1] == r"OSError: There is no a\x1b[2Jb\x07.mp3."


def test_commands_that_people_type_log_on_one_line_without_secrets(
    log: Any, tmp_path: Path
) -> None:
    lines = log("json")
    logging.getLogger().handlers.clear()
    set_up_plain_logging(Settings(home=tmp_path, cloudru_api_key=CANARY))
    logger.warning("%s has the key %s", "talk\x1b[2J\nERROR forged", CANARY)
    expected = r"WARNING stretto.tests: talk\x1b[2J\nERROR forged has the key ***"
    assert lines() == [expected]
