"""A disk that takes nothing any more, from one moment on: what was accepted stays, whoever hands in
or asks is told in a sentence, workers wait without spinning, and all goes on by itself when the
disk is well again."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from tests.chaos.disks import bad_disk, can_be_bad, files_of, needs_bad_disks, refusing
from tests.chaos.fleet import Fleet, fleet, until
from tests.chaos.outcome import assert_every_file_was_done_once
from tests.chaos.score import note, noted, remarked
from tests.chaos.terms import ENOUGH_S, TIMES
from tests.e2e.program import command, environment
from tests.e2e.serving import served

pytestmark = [needs_bad_disks, pytest.mark.timeout(120 * TIMES)]
BAD_S = 1.0 if TIMES < 10 else 20.0
IDLE_SHARE = 0.5
"""Of one processor; whoever tries again at once takes all of it."""

SENTENCES = {"EIO": "Check the disk", "ENOSPC": "is full"}
IN_HAND = 4


@pytest.fixture(autouse=True)
def disks_can_be_bad() -> None:
    if not can_be_bad():
        pytest.skip("strace may not watch a process that runs")


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def handed_in(home: Path, recording: Path, error: str) -> subprocess.CompletedProcess[str]:
    """By somebody whose disk is the same."""
    recording.write_bytes(b"RIFF")
    return subprocess.run(
        [*refusing(files_of(home), error), "-qq", *command("submit", recording)],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("error", SENTENCES if TIMES >= 10 else ("EIO",))
def test_a_disk_that_takes_nothing_loses_nothing_and_work_goes_on_when_it_is_well(
    home: Path, tmp_path: Path, error: str
) -> None:
    names, said = [f"talk-{number}" for number in range(4 * min(TIMES, 10))], tmp_path / "said"
    with fleet(home, tmp_path, count=1, chunk_s=0.2, lease_s=3, said=said) as crew:
        jobs = crew.submit(*names)
        crew.start()
        until(lambda: bool(crew.calls()), seconds=ENOUGH_S, meanwhile=lambda: None)
        with bad_disk(crew.crew[0].pid, files_of(home), error):
            assert_it_is_said_and_waited_for(crew, said, error)
            submitted = handed_in(home, tmp_path / "other.wav", error)
        healed, before = time.monotonic(), len(crew.calls())
        assert submitted.returncode == 1
        assert SENTENCES[error] in submitted.stderr
        assert len(submitted.stderr.strip().splitlines()) == 1, submitted.stderr
        assert set(crew.jobs()) == set(jobs)
        until(lambda: len(crew.calls()) > before, seconds=ENOUGH_S, meanwhile=lambda: None)
        remarked(f"disk, {error}: work goes on {time.monotonic() - healed:.1f} s after it is well")
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=lambda: None)
        chunks = assert_every_file_was_done_once(crew, names)
        note(crew, chunks=chunks, kills=0)
        noted(faults=1)
        assert crew.crew[0].poll() is None, "it sat it out"
        assert sum(crew.calls().values()) <= chunks + IN_HAND


def assert_it_is_said_and_waited_for(crew: Fleet, said: Path, error: str) -> None:
    until(lambda: SENTENCES[error] in said.read_text(), seconds=ENOUGH_S, meanwhile=lambda: None)
    worker = crew.crew[0]
    before, lines, began = processor_s(worker.pid), len(said.read_text()), time.monotonic()
    time.sleep(BAD_S)
    took_s, lasted_s = processor_s(worker.pid) - before, time.monotonic() - began
    written = (len(said.read_text()) - lines) / lasted_s
    remarked(
        f"disk, {error}: the worker took {100 * took_s / lasted_s:.0f} % of a processor and wrote"
        f" {written:.0f} bytes a second into its log while nothing could be written"
    )
    assert worker.poll() is None
    assert took_s / lasted_s < IDLE_SHARE
    assert written < 10_000


@pytest.mark.skipif(TIMES < 10, reason="starts the whole program; make chaos runs it")
@pytest.mark.parametrize("error", SENTENCES)
def test_a_server_says_that_its_disk_takes_nothing_and_serves_again_when_it_does(
    home: Path, tmp_path: Path, error: str
) -> None:
    with served(home) as server, httpx2.Client(base_url=server.url, timeout=60) as client:
        until(lambda: is_ready(client), seconds=ENOUGH_S, meanwhile=lambda: None)
        with bad_disk(server.process.pid, (), error):
            until(lambda: not is_ready(client), seconds=ENOUGH_S, meanwhile=lambda: None)
            asked, told = client.get("/ready"), handed_over(client)
        assert asked.status_code == 503
        assert "can be written" in asked.json()["parts"]["disk"]["detail"]
        assert told.status_code in {503, 507}
        assert set(told.json()) == {"error"}
        until(lambda: is_ready(client), seconds=ENOUGH_S, meanwhile=lambda: None)
        assert handed_over(client).status_code == 202
        noted(faults=1)


def is_ready(client: httpx2.Client) -> bool:
    return client.get("/ready").status_code == 200


def handed_over(client: httpx2.Client) -> httpx2.Response:
    return client.post("/api/jobs", files={"file": ("talk.wav", b"some bytes")})
