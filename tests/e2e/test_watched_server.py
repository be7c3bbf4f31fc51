"""`stretto serve` alone is watched as a fleet is: its worker counts, and both write one log."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conftest import Known
from tests.e2e.serving import served

pytest.importorskip("fastapi")

SECRET = "sk-a-key-that-nobody-is-to-read"
SOON_S = 120.0


def told(client: httpx2.Client) -> dict[str, float]:
    """The metrics as Prometheus reads them."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_the_worker_of_a_server_counts_and_logs_while_it_works(known: Known, home: Path) -> None:
    given = {
        "STRETTO_LOG_FORMAT": "json",
        "STRETTO_LOG_LEVEL": "DEBUG",
        "STRETTO_OPENAI_KEY": SECRET,
    }
    with served(home, **given) as site:
        with httpx2.Client(base_url=site.url, timeout=60) as client:
            with known.recording.open("rb") as file:
                answer = client.post("/api/jobs", files={"file": file}, data={"language": "en"})
            assert answer.status_code == 202, answer.text
            deadline = time.monotonic() + SOON_S
            while (figures := told(client))[
                'stretto_processing_files_total{outcome="complete"}'
            ] < 1:
                assert time.monotonic() < deadline, figures
                time.sleep(0.2)
        assert figures['stretto_process_up{role="worker"}'] == 1
        assert figures['stretto_process_up{role="serve"}'] == 1
        assert figures['stretto_processing_chunks_total{outcome="computed"}'] >= 1
        assert figures["stretto_processing_audio_seconds_total"] == pytest.approx(44, abs=2)
        assert figures['stretto_queue_events_total{event="completed"}'] == 1
        assert figures['stretto_queue_wait_seconds_count{priority="medium"}'] == 1
        assert figures["stretto_processing_chunks_in_flight"] == 0
    lines = [json.loads(line) for line in site.said if "listens at" not in line]
    assert lines, "each of them is JSON"
    written = "".join(site.said)
    assert SECRET not in written
    words = [word for word in known.first.document["text"].split() if len(word) > 6]
    assert words
    assert not [word for word in words if word in written]
