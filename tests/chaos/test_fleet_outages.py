"""Celery workers whose clocks are wrong, and which are told to leave at once (SIGQUIT) in the
middle of anything: messages come twice, and nothing is done twice. ``make chaos`` runs it."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.caches import RedisServer
from tests.chaos.celery_fleet import SOON_S, celery_fleet
from tests.chaos.clocks import VARIABLE, set_to
from tests.chaos.outcome import assert_every_file_was_done_once
from tests.chaos.score import note, noted
from tests.chaos.terms import SEED, TIMES

pytestmark = [
    pytest.mark.skipif(TIMES < 10, reason="takes minutes; make chaos runs it"),
    pytest.mark.timeout(900),
]
QUITS = 2 * min(TIMES, 50)


def test_a_worker_that_is_two_hours_ahead_does_nothing_twice(
    home: Path, tmp_path: Path, redis: RedisServer
) -> None:
    """To kombu every message that somebody works on looks forgotten, and is delivered again."""
    files, clock = [f"talk-{number}" for number in range(12)], tmp_path / "clock"
    set_to(clock, 7200)
    with celery_fleet(home, tmp_path, redis.url, count=1, chunk_s=0.2) as fleet:
        fleet.start()
        fleet.submit(*files)
        fleet.wait_for_calls(1)
        fleet.environment[VARIABLE] = str(clock)
        fleet.count = 2
        fleet.start()
        fleet.wait(SOON_S * 2)
        chunks = assert_every_file_was_done_once(fleet, files)
        note(fleet, chunks=chunks, kills=0)
        noted(faults=1)
        assert sum(fleet.calls().values()) == chunks


def test_workers_that_leave_at_once_in_the_middle_of_anything_lose_nothing(
    home: Path, tmp_path: Path, redis: RedisServer
) -> None:
    dice, quits = random.Random(SEED), 0
    files = [f"talk-{number}" for number in range(3 * QUITS)]
    with celery_fleet(home, tmp_path, redis.url, count=2, chunk_s=0.02) as fleet:
        fleet.start()
        for number in range(QUITS):
            fleet.submit(*files[3 * number : 3 * number + 3])
            time.sleep(dice.uniform(0.0, 0.6))
            leaver = dice.choice(fleet.crew)
            leaver.send_signal(signal.SIGQUIT)
            leaver.wait(30)
            quits += 1
            fleet.start()
        fleet.wait(SOON_S * 3, meanwhile=fleet.start)
        chunks = assert_every_file_was_done_once(fleet, files)
        note(fleet, chunks=chunks, kills=0)
        noted(faults=quits)
        assert sum(fleet.calls().values()) <= chunks + 4 * quits
