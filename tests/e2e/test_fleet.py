"""A Celery fleet as operators start it: the real engine, a broker, nothing of the tests inside."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

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
    with redis_server(tmp_path / "redis") as redis, (tmp_path / "log").open("w") as log:
        (home / "stretto.toml").write_text(f'broker_url = "{redis.url}"')
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
            checks = stretto("doctor", "--json", home=home).document["checks"]
            assert {check["state"] for check in checks if check["name"] == "broker"} == {"ok"}
        finally:
            worker.terminate()
            assert worker.wait(30) == 0, (tmp_path / "log").read_text()
        assert stretto("workers", "--json", home=home).document["workers"] == []


def ended(job_id: str, home: Path) -> dict[str, Any]:
    end = time.monotonic() + SOON_S
    while True:
        job = stretto("jobs", "show", job_id, "--json", home=home).document
        if job["status"] in {"completed", "failed"} or time.monotonic() > end:
            return job
        time.sleep(0.5)
