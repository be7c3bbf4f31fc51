"""A long file from the command line, done by two workers that are processes, with a service that
takes little at a time; and a callback when it is over."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import command, environment
from tests.e2e.test_remote import Office
from tests.fakes.backend import backend
from tests.fakes.backend_script import Reply
from tests.mediagen import recorded_speech

SOON_S = 60.0
SECRET = "whsec_" + "c2VjcmV0" * 4
SMALL_CALLS = {"STRETTO_ENGINE": "openai", "STRETTO_REMOTE_CALL_S": "8"}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with backend(tmp_path, script=lambda _: Reply(takes_s=0.3)) as server:
        office = Office(server, tmp_path)
        office.given |= SMALL_CALLS
        yield office


@contextmanager
def workers(office: Office, count: int) -> Iterator[None]:
    crew = [
        subprocess.Popen(
            command("worker"),
            stderr=subprocess.PIPE,
            env={**environment(office.home), **office.given},
            encoding="utf-8",
        )
        for _ in range(count)
    ]
    try:
        for worker in crew:
            assert worker.stderr is not None
            assert "working on" in worker.stderr.readline()
        yield
    finally:
        for worker in crew:
            worker.terminate()
        for worker in crew:
            worker.communicate(timeout=30)


def over(office: Office, job_id: str) -> dict[str, Any]:
    end = time.monotonic() + SOON_S
    while True:
        job = office.run("jobs", "show", job_id, "--json").document
        if job["status"] in {"completed", "failed"}:
            return job
        assert time.monotonic() < end, job


def test_two_workers_share_a_long_file_and_make_one_transcript_of_it(office: Office) -> None:
    plan = office.run("transcribe", "--plan", recorded_speech())
    assert "shared by all workers" in plan.out, plan.err
    with workers(office, 2):
        submitted = office.run("submit", recorded_speech())
        assert submitted.code == 0, submitted.err
        job = over(office, submitted.out.strip())
    assert job["status"] == "completed"
    assert job["parts"]["total"] >= 5
    assert (job["parts"]["open"], job["parts"]["missing"]) == (0, [])
    assert job["progress"]["fraction"] == 1.0
    keys = [entry.key for entry in office.server.entries()]
    assert len(set(keys)) == len(keys) <= job["parts"]["total"], "silence is not asked about"
    listed = office.run("jobs", "list", "--json").document
    assert len(listed["jobs"]) == 1, "parts are not listed"
    kept = office.run("transcripts", "show", job["transcript_id"], "--json").document
    whole = office.run("transcribe", recorded_speech(), "--format", "json", "--quiet").document
    assert whole["id"] == kept["id"], "it is known"
    assert len(office.server.entries()) == len(keys)


class Told(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ToldHandler)
        self.bodies: list[dict[str, Any]] = []
        self.heard = threading.Event()


class ToldHandler(BaseHTTPRequestHandler):
    server: Told

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        self.send_response(204)
        self.end_headers()
        self.server.heard.set()

    def log_message(self, *_: object) -> None:
        pass


def test_whoever_wants_to_be_called_is_when_the_file_is_done(office: Office) -> None:
    server = Told()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/hook"
    refused = office.run("submit", recorded_speech(), "--callback", url)
    assert refused.code == 2, "without a secret, and into this machine"
    office.given |= {
        "STRETTO_WEBHOOK_SECRET": SECRET,
        "STRETTO_OUTGOING_ALLOW": "127.0.0.1",
    }
    try:
        with workers(office, 1):
            submitted = office.run("submit", recorded_speech(), "--callback", url)
            assert submitted.code == 0, submitted.err
            assert server.heard.wait(SOON_S)
    finally:
        server.shutdown()
        server.server_close()
    (body,) = server.bodies
    assert (body["type"], body["data"]["id"]) == ("job.completed", submitted.out.strip())
