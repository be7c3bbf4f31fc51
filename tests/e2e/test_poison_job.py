"""A job that kills whoever works on it: real workers, a real crash, and people who are told once.

Only the clock of those who watch afterwards is the test's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest

from stretto.bootstrap import build_archive
from stretto.bootstrap.queueing import build_queue
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import DeathCause, Job
from stretto.contexts.queue.service import QueueService
from stretto.settings import Settings
from tests.e2e.operators import Operator
from tests.e2e.program import command, environment, stretto
from tests.mediagen import recorded_speech
from tests.servers import copied, opened


@pytest.fixture
def home(sqlite_template: Path, tmp_path: Path) -> Path:
    return copied(sqlite_template, tmp_path / "home")


CRASHING: Final = """
import ctypes
from stretto.contexts.core.recognition import EngineIdentity
from stretto.contexts.processing.model import EngineLimits

class CrashingEngine:
    identity = EngineIdentity(
        engine="crashing", engine_version="1", model="none", model_revision="1"
    )
    limits = EngineLimits(max_seconds=600)

    def prepare(self):
        pass

    def detect_language(self, chunk):
        return None, 0.0

    def recognise(self, chunk, options, *, cancel, report):
        ctypes.string_at(0)  # as a bug in native code does

def create(configuration):
    return CrashingEngine()
"""


def crashing_engine(folder: Path) -> Path:
    """A package as others write it, whose engine takes its process along."""
    about = folder / "stretto_crashing-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "stretto_crashing.py").write_text(CRASHING)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stretto-crashing\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[stretto.engines]\ncrashing = stretto_crashing:create\n"
    )
    return folder


QUIET: Final = """
[[rule]]
name = "dead-letters"
off = true
[[rule]]
name = "worker-lost"
off = true
"""


def worked_until_it_is_over(home: Path, queue: QueueService, job: JobId) -> Job:
    """By one worker after the other, each of which dies of the job. They leave it to others to
    tell of it: who does is not to hang on how fast this machine is."""
    quiet = home / "quiet.toml"
    quiet.write_text(QUIET)
    given = {"STRETTO_QUEUE_LEASE_S": "1", "STRETTO_ALERT_RULES": str(quiet)}
    deadline = time.monotonic() + 240
    while not queue.get(job).is_over:
        with subprocess.Popen(
            command("worker"),
            stderr=subprocess.DEVNULL,
            env={**environment(home), **given},
        ) as worker:
            try:
                while worker.poll() is None and not queue.get(job).is_over:
                    assert time.monotonic() < deadline, queue.get(job)
                    time.sleep(0.05)
            finally:
                worker.kill()
    return queue.get(job)


@contextmanager
def mailbox() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A URL, and what was posted to it."""
    posts: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", posts
        finally:
            server.shutdown()
            thread.join()


def test_a_job_that_kills_its_workers_is_told_by_a_webhook_once_and_so_is_its_end(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = [str(crashing_engine(tmp_path / "site")), *sys.path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(packages))
    with ExitStack() as everything:
        url, posts = everything.enter_context(mailbox())
        settings = Settings(home=home, queue_lease_s=1, alert_webhook_url=url)
        database = everything.enter_context(closing(opened(home)))
        queue = build_queue(settings, database, publish=EventBus().publish)
        submitted = stretto("submit", recorded_speech(), "--engine", "crashing", home=home)
        poisoned = JobId.parse(submitted.out.strip())
        job = worked_until_it_is_over(home, queue, poisoned)
        assert (job.status, job.cause, job.attempts) == (JobStatus.FAILED, DeathCause.CRASHES, 3)

        operators = [Operator(settings) for _ in range(3)]
        for one in operators:
            everything.callback(one.monitoring.close)
        for _ in range(6):
            for one in operators:
                one.step()
        assert told_people(settings, posts, 2) == [("dead-letters", True), ("worker-lost", True)]

        queue.dead_letters.purge(poisoned)
        for _ in range(32):  # a worker that was lost is worth knowing for five minutes
            for one in operators:
                one.step()
        over = told_people(settings, posts, 4)[2:]
        assert over == [("dead-letters", False), ("worker-lost", False)]
        assert sum(len(one.events) for one in operators) == 4  # each by one of the three


def told_people(
    settings: Settings, posts: list[dict[str, Any]], count: int
) -> list[tuple[str, bool]]:
    """What was posted, once it is so much, and whether it said that something is wrong."""
    deadline = time.monotonic() + 60
    with build_archive(settings) as archive:  # it watches nothing: time is that of the operators
        while sum(len(post["alerts"]) for post in posts) < count:
            archive.deliver()
            assert time.monotonic() < deadline, posts
            time.sleep(0.05)
    told = [[(alert["rule"], alert["firing"]) for alert in post["alerts"]] for post in posts]
    return sorted(chain.from_iterable(told), key=lambda one: (not one[1], one[0]))
