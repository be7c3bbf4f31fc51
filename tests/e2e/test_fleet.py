"""A Celery fleet as operators start it: the real engine, a broker, nothing of the tests inside."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap import build_database
from stretto.bootstrap.monitoring import build_service
from stretto.settings import Settings
from tests.caches import redis_server
from tests.e2e.conftest import Known
from tests.e2e.program import environment, stretto

SOON_S = 120.0
QUEUES = "stretto.high,stretto.medium,stretto.low"


@pytest.mark.timeout(300)
def test_a_recording_is_transcribed_by_a_celery_worker_that_leaves_in_peace(
    known: Known, home: Path, tmp_path: Path
) -> None:
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:  # it is in a moment
        port = free.getsockname()[1]
    with redis_server(tmp_path / "redis") as redis, (tmp_path / "log").open("w") as log:
        (home / "stretto.toml").write_text(
            f'broker_url = "{redis.url}"\nmetrics_port = {port}\nlog_format = "json"'
        )
        command = [sys.executable, "-m", "celery", "-A", "stretto.interfaces.celery", "worker"]
        worker = subprocess.Popen(
            [*command, "-Q", QUEUES], env=environment(home), stderr=log, stdout=log
        )
        try:
            job_id = stretto("submit", known.recording, home=home).out.strip()
            job = ended(job_id, home)
            assert job["status"] == "completed", (tmp_path / "log").read_text()
            text = stretto("transcripts", "show", job["transcript_id"], home=home).out
            assert "best of times" in text
            (node,) = stretto("workers", "--json", home=home).document["workers"]
            assert node["pid"] != worker.pid, "a process of its own, spawned"
            figures = counted(home)
            assert figures["process.up{role=worker}"] == 1
            assert figures["processing.files{outcome=complete}"] == 1
            assert figures["queue.events{event=completed}"] == 1
            url = f"http://127.0.0.1:{port}/metrics"
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert b'stretto_process_up{role="worker"} 1\n' in answer.read()
            checks = stretto("doctor", "--json", home=home).document["checks"]
            assert {check["state"] for check in checks if check["name"] == "broker"} == {"ok"}
        finally:
            worker.terminate()
            assert worker.wait(30) == 0, (tmp_path / "log").read_text()
        assert stretto("workers", "--json", home=home).document["workers"] == []
        left = reading(home)
        assert "process.up{role=worker}" not in left, "who is gone does not linger"
        assert left["processing.files{outcome=complete}"] == 1
        assert "process.lost{role=worker}" not in left
        assert list((home / "metrics").iterdir()) == []


def reading(home: Path) -> Mapping[str, float]:
    """Where the figures of all processes stand."""
    settings = Settings(home=home)
    with closing(build_database(settings)) as database:
        return build_service(settings, database).reading().values


def counted(home: Path) -> Mapping[str, float]:
    """Once the worker has reported the file: it does every ten seconds."""
    end = time.monotonic() + SOON_S
    while not (found := reading(home)).get("processing.files{outcome=complete}"):
        assert time.monotonic() < end, found
        time.sleep(0.2)
    return found


def ended(job_id: str, home: Path) -> dict[str, Any]:
    end = time.monotonic() + SOON_S
    while True:
        job = stretto("jobs", "show", job_id, "--json", home=home).document
        if job["status"] in {"completed", "failed"} or time.monotonic() > end:
            return job
        time.sleep(0.5)
