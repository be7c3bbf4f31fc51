"""Jobs from the command line, by processes that know of each other only through the database."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stretto as library
from tests.e2e.conftest import Known
from tests.e2e.program import command, environment, stretto

SOON_S = 60.0


@pytest.fixture
def worker(known: Known) -> Iterator[subprocess.Popen[str]]:
    yield from a_worker(known.home)


def a_worker(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command("worker"),
        stderr=subprocess.PIPE,
        env=environment(home),
        encoding="utf-8",
    )
    assert process.stderr is not None
    assert "working on" in process.stderr.readline()
    yield process
    process.terminate()
    process.wait(30)
    process.stderr.close()


def shown(home: Path, job_id: str) -> dict[str, Any]:
    return stretto("jobs", "show", job_id, "--json", home=home).document


def submitted(home: Path, *arguments: str | Path) -> str:
    done = stretto("submit", *arguments, home=home)
    assert done.code == 0, done.err
    (job_id,) = done.out.split()
    return job_id


def until(home: Path, job_id: str, *statuses: str) -> dict[str, Any]:
    end = time.monotonic() + SOON_S
    while (job := shown(home, job_id))["status"] not in statuses:
        assert time.monotonic() < end, job
    return job


def test_a_job_waits_until_there_is_a_worker_and_is_done_by_it(known: Known) -> None:
    done = stretto("submit", known.recording, "--priority", "high", home=known.home)
    job_id = done.out.strip()
    assert "No worker is running" in done.err
    job = shown(known.home, job_id)
    assert (job["status"], job["priority"], job["attempts"]) == ("queued", "high", 0)
    for _ in a_worker(known.home):
        job = until(known.home, job_id, "completed", "failed")
        (node,) = stretto("workers", "--json", home=known.home).document["workers"]
        assert node["concurrency"] == 1
    assert job["status"] == "completed"
    assert job["progress"]["fraction"] == 1.0
    assert job["transcript_id"] == known.first.document["id"]
    watched = stretto("jobs", "watch", job_id, "--json", home=known.home)
    events = [json.loads(line) for line in watched.out.splitlines()]
    told = [event["event"] for event in events if event["event"] != "JobTextHeard"]
    assert told == ["JobQueued", "JobStarted", "JobCompleted"]
    rest = stretto("jobs", "watch", job_id, "--after", str(events[0]["number"]), home=known.home)
    assert len(rest.out.splitlines()) == len(events) - 1


def test_waiting_ends_with_the_job(known: Known, worker: subprocess.Popen[str]) -> None:
    done = stretto("submit", known.recording, "--wait", home=known.home)
    assert done.code == 0
    assert "kept as" in done.err


def test_a_plan_says_whether_a_file_would_be_shared_and_submits_nothing(known: Known) -> None:
    before = stretto("jobs", "list", "--json", home=known.home)
    done = stretto("submit", known.recording, "--plan", "--json", home=known.home)
    assert done.code == 0, done.err
    assert json.loads(done.out)["shared"] is False
    assert stretto("jobs", "list", "--json", home=known.home).out == before.out


def test_a_file_that_cannot_be_transcribed_is_a_dead_letter(
    known: Known, worker: subprocess.Popen[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF of nonsense")
    done = stretto("submit", broken, "--wait", home=known.home)
    assert done.code == 1
    job_id = done.out.strip()
    job = stretto("dlq", "show", job_id, "--json", home=known.home).document
    assert (job["status"], job["cause"], job["attempts"]) == ("failed", "refused", 1)
    assert "Traceback" in job["trace"]
    listed = stretto("dlq", "list", "--json", home=known.home).document["jobs"]
    assert job_id in {one["id"] for one in listed}
    assert stretto("dlq", "requeue", job_id, home=known.home).code == 0
    assert until(known.home, job_id, "failed")["attempts"] == 2
    assert stretto("dlq", "purge", job_id, home=known.home).code == 0
    assert stretto("jobs", "show", job_id, home=known.home).code == 2


def test_a_running_job_is_cancelled_from_another_process_within_two_seconds(
    long_recording: Path, home: Path
) -> None:
    for _ in a_worker(home):
        job_id = submitted(home, long_recording, "--language", "en")
        until(home, job_id, "processing")
        time.sleep(1.0)
        assert stretto("jobs", "cancel", job_id, home=home).code == 0
        asked = time.time()
        job = until(home, job_id, "cancelled", "completed")
        assert job["status"] == "cancelled"
        assert job["updated_at"] - asked < 2.0
        assert stretto("jobs", "retry", job_id, home=home).code == 0
        assert until(home, job_id, "processing")["attempts"] == 2


def test_a_killed_worker_loses_nothing(
    long_recording: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submitted(home, long_recording, "--language", "en")
    for victim in a_worker(home):
        until(home, job_id, "processing")
        victim.kill()
        victim.wait()
    assert shown(home, job_id)["status"] == "processing"
    with library.open(home=home, offline=True) as application:
        assert application.job(library_id(job_id)).status == "processing"


def library_id(text: str) -> Any:
    from stretto.contexts.core.identifiers import JobId

    return JobId.parse(text)


def test_a_worker_leaves_when_it_is_told_to(known: Known, worker: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert time.monotonic() - began < 20.0
    assert stretto("workers", "--json", home=known.home).document == {"workers": []}


def test_the_same_request_is_the_same_job_and_another_one_is_refused(known: Known) -> None:
    first = submitted(known.home, known.recording, "--key", "order 7")
    assert submitted(known.home, known.recording, "--key", "order 7") == first
    other = stretto(
        "submit", known.recording, "--key", "order 7", "--language", "en", home=known.home
    )
    assert other.code == 2
    assert "order 7" in other.err
    stretto("jobs", "cancel", first, home=known.home)


def test_a_worker_whose_database_cannot_be_reached_says_so(home: Path) -> None:
    nowhere = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    done = stretto("worker", home=home, database=nowhere)
    assert done.code == 1
    assert done.err.startswith("stretto: ")


@pytest.mark.parametrize(
    "wrong",
    [
        ("submit", "x.wav", "--priority", "urgent"),
        ("jobs", "show", "nonsense"),
        ("jobs", "list", "--status", "lost"),
        ("jobs", "list", "--limit", "0"),
        ("jobs", "cancel", "00000000-0000-0000-0000-000000000000"),
        ("dlq", "purge"),
        ("worker", "--queues", "urgent"),
        ("worker", "--concurrency", "0"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(known: Known, wrong: tuple[str, ...]) -> None:
    done = stretto(*wrong, home=known.home)
    assert done.code == 2
    assert done.err.startswith("stretto: ")
    assert "Traceback" not in done.err
