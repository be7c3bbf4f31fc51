"""`stretto serve` as a process: its worker, its keys, its ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.program import stretto
from tests.e2e.recordings import word_error_rate
from tests.e2e.serving import served
from tests.mediagen import recorded_speech

pytest.importorskip("fastapi")

SOON_S = 60.0


def until(client: httpx2.Client, place: str, what: Any) -> dict[str, Any]:
    """The document at ``place`` once ``what`` holds of it."""
    end = time.monotonic() + SOON_S
    while not what(document := client.get(place).json()):
        assert time.monotonic() < end, document
        time.sleep(0.05)
    return dict(document)


def submitted(client: httpx2.Client, recording: Path, **fields: str) -> str:
    with recording.open("rb") as file:
        answer = client.post("/api/jobs", files={"file": file}, data=fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def is_over(job: dict[str, Any]) -> bool:
    return job["status"] in {"completed", "failed", "cancelled"}


def test_a_recording_goes_through_the_server_and_is_found_by_the_command_line(
    home: Path,
) -> None:
    with served(home) as site, httpx2.Client(base_url=site.url, timeout=30) as client:
        job = submitted(client, recorded_speech(), language="en")
        with client.stream("GET", f"/api/jobs/{job}/events") as answer:
            lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
        events = [json.loads(line[6:]) for line in lines]
        names = [event["event"] for event in events]
        assert names[:2] == ["JobQueued", "JobStarted"]
        assert names[-1] == "JobCompleted"
        heard = [event for event in events if event["event"] == "JobTextHeard"]
        text = " ".join(s["text"] for event in heard for s in event["segments"])
        assert word_error_rate(text) < 0.05
        transcript = client.get(f"/api/transcripts/{events[-1]['transcript_id']}").json()
        assert transcript["transcript"]["text"] == text
    found = stretto("transcripts", "search", "foolishness", "--json", home=home)
    assert found.document["hits"][0]["id"] == transcript["id"]


def test_a_worker_that_is_killed_is_replaced_and_its_job_goes_on(
    home: Path,
) -> None:
    with served(home, "--jobs", "1", STRETTO_QUEUE_LEASE_S="2") as site:
        with httpx2.Client(base_url=site.url, timeout=30) as client:
            job = submitted(client, recorded_speech(), language="en")
            until(client, f"/api/jobs/{job}", lambda j: j["status"] == "processing")
            (node,) = client.get("/api/workers").json()["workers"]
            os.kill(node["pid"], signal.SIGKILL)
            assert client.get("/health").status_code == 200
            done = until(client, f"/api/jobs/{job}", is_over)
        assert (done["status"], done["attempts"]) == ("completed", 2)


def test_a_server_that_is_told_to_leave_hands_its_job_back(
    home: Path, long_recording: Path
) -> None:
    with served(home) as site, httpx2.Client(base_url=site.url, timeout=30) as client:
        job = submitted(client, long_recording, language="en")
        until(client, f"/api/jobs/{job}", lambda j: j["status"] == "processing")
        begun = time.monotonic()
    assert time.monotonic() - begun < 20
    state = stretto("jobs", "show", job, "--json", home=home).document
    assert state["status"] in {"queued", "completed"}
    assert stretto("workers", "--json", home=home).document["workers"] == []


def test_others_are_let_in_with_a_key_alone(home: Path) -> None:
    refused = stretto("serve", "--host", "0.0.0.0", "--port", "0", home=home)
    assert refused.code == 2
    assert "stretto keys create" in refused.err
    made = stretto("keys", "create", "--owner", "anna", "--json", home=home).document
    with served(home, "--host", "0.0.0.0", "--jobs", "0") as site:
        port = site.url.rsplit(":", 1)[1]
        place = f"http://127.0.0.1:{port}/api/jobs"
        assert httpx2.get(place).status_code == 401
        headers = {"authorization": f"Bearer {made['key']}"}
        assert httpx2.get(place, headers=headers).status_code == 200
    (listed,) = stretto("keys", "list", "--json", home=home).document["keys"]
    assert (listed["id"], listed["owner"]) == (made["id"], "anna")
    assert "key" not in listed
    assert stretto("keys", "revoke", made["id"], home=home).code == 0
    assert stretto("keys", "revoke", made["id"], home=home).code == 2
    assert stretto("serve", "--host", "0.0.0.0", "--port", "0", home=home).code == 2


def test_an_address_that_is_taken_is_named(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = stretto("serve", "--port", port, home=home)
    assert done.code == 2
    assert port in done.err


def test_ctrl_c_ends_it(home: Path) -> None:
    with served(home) as site:
        site.process.send_signal(signal.SIGINT)
        assert site.process.wait(SOON_S) == 0
