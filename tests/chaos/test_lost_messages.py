"""Somebody dies in exactly the moment in which a message is lost, again and again: the jobs are
called for again within a sweep, and done once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.celery_fleet import SOON_S, CeleryFleet, calling, celery_fleet
from tests.chaos.fleet import HOUSE, until
from tests.chaos.outcome import assert_every_file_was_done_once
from tests.chaos.score import note, noted, remarked
from tests.chaos.terms import TIMES
from tests.conftest import BROKERS

pytestmark = pytest.mark.timeout(600)
LOSSES = 3 if TIMES < 10 else 10 * min(TIMES, 50)
JOBS = 4
SWEEP_S = 0.5
"""Of workers with a lease of three seconds."""

Doom = Callable[..., int]


@pytest.fixture(params=BROKERS if TIMES >= 10 else ("redis",))
def url(request: pytest.FixtureRequest) -> str:
    found: Any = request.getfixturevalue(request.param)
    return str(found.url)


@pytest.fixture
def doom() -> Iterator[Doom]:
    """Has a process do what its words say; answers with the signal it died of."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.doomed"],
        cwd=HOUSE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        incoming, outgoing = process.stdin, process.stdout

        def run(*words: object) -> int:
            incoming.write(" ".join(map(str, words)) + "\n")
            incoming.flush()
            return int(outgoing.readline())

        yield run


def called_again_s(crew: CeleryFleet, jobs: int) -> float:
    """After how long there was a message for each of them."""
    died = time.monotonic()
    with calling(crew, every_s=SWEEP_S):
        until(lambda: crew.waiting() == jobs, seconds=SOON_S, meanwhile=lambda: None)
        return time.monotonic() - died


def end(crew: CeleryFleet, names: list[str]) -> None:
    """Workers come, and do what is there; the ordinary run leaves it at the messages."""
    if TIMES < 10:
        return
    crew.start()
    crew.wait(SOON_S * 4)
    chunks = assert_every_file_was_done_once(crew, names)
    note(crew, chunks=chunks, kills=LOSSES)
    assert sum(crew.calls().values()) == chunks


def test_whoever_dies_between_the_commit_and_the_call_has_handed_in_all_the_same(
    home: Path, tmp_path: Path, url: str, doom: Doom
) -> None:
    names = [f"talk-{number}" for number in range(LOSSES)]
    with celery_fleet(home, tmp_path, url) as crew:
        died = [doom("submit", home, url, name) for name in names]
        assert died == [signal.SIGKILL] * LOSSES
        assert len(crew.jobs()) == LOSSES
        assert crew.waiting() == 0
        again_s = called_again_s(crew, LOSSES)
        remarked(f"{url.split(':')[0]}: {LOSSES} died before they called: {again_s:.1f} s later")
        end(crew, names)


def test_messages_that_die_with_those_who_took_them_are_sent_again_within_a_sweep(
    home: Path, tmp_path: Path, url: str, doom: Doom
) -> None:
    names = [f"talk-{number}" for number in range(JOBS)]
    with celery_fleet(home, tmp_path, url) as crew:
        crew.submit(*names)
        waits_s = []
        for _ in range(LOSSES):
            assert doom("take", url) == signal.SIGKILL
            until(lambda: crew.waiting() == JOBS - 1, seconds=SOON_S, meanwhile=lambda: None)
            waits_s.append(called_again_s(crew, JOBS))
        noted(faults=LOSSES)
        remarked(f"{url.split(':')[0]}: {LOSSES} messages lost: again {max(waits_s):.1f} s later")
        assert all(job.attempts == 0 for job in crew.jobs().values())
        end(crew, names)
