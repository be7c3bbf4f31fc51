"""Workers are killed, stopped and told to leave while they work: no job is lost, and none is done
twice. What is compared is the ledger of the engine, the database, and a run without trouble.

``make chaos`` runs more of the same: STRETTO_CHAOS is how many times as much.
"""

from __future__ import annotations

import itertools
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import DeathCause
from tests.chaos.fleet import Fleet, fleet, until
from tests.chaos.outcome import IN_FLIGHT, assert_every_file_was_done_once
from tests.chaos.score import note, noted, recovered, remarked
from tests.chaos.terms import ENOUGH_S, KILLS, SEED, TIMES
from tests.conftest import Place

pytestmark = pytest.mark.timeout(180 * TIMES)
BUSY_LEASE_S = 3
"""On a machine that does other things as well a worker that lives may be silent for a second."""

NOBODY_DIES_S = 15


def test_killed_workers_lose_no_job_and_do_none_twice(place: Place, tmp_path: Path) -> None:
    dice, kills = random.Random(SEED), 0
    names = [f"talk-{number}" for number in range(8 * TIMES)]
    with fleet(place, tmp_path, chunk_s=0.4, lease_s=BUSY_LEASE_S) as crew:
        crew.submit(*names)
        crew.start()
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.05, 0.6))
            if crew.are_over():
                break
            crew.kill(dice)
            kills += 1
            crew.start()
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        crew.retry_the_dead()  # three kills in a row may hit the same file
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        chunks = assert_every_file_was_done_once(crew, names)
        note(crew, chunks=chunks, kills=kills)
        assert kills >= 1
        assert sum(crew.calls().values()) <= chunks + kills * IN_FLIGHT


def all_are_in_hand(crew: Fleet) -> bool:
    return all(job.is_over or job.holder for job in crew.jobs().values())


@pytest.mark.skipif(TIMES < 10, reason="takes minutes; make chaos runs it")
@pytest.mark.timeout(900)
def test_the_jobs_of_the_dead_are_gone_on_with_in_36_seconds_at_the_shipped_terms(
    place: Place, tmp_path: Path
) -> None:
    dice, waits, numbers = random.Random(SEED), [], itertools.count()
    crowd: dict[str, Any] = {"count": 3, "concurrency": 4, "chunk_s": 600.0, "lease_s": 30}
    with fleet(place, tmp_path, **crowd) as crew:
        crew.start()
        while len(waits) < 10:
            living = [job for job in crew.jobs().values() if not job.is_over]
            crew.submit(*(f"talk-{next(numbers)}" for _ in range(6 - len(living))))
            until(lambda: all_are_in_hand(crew), seconds=ENOUGH_S, meanwhile=lambda: None)
            time.sleep(dice.uniform(0, 10))
            waits += crew.recovery_s(dice.choice(crew.crew))
            noted(kills=1)
            crew.start()
            for job in crew.jobs().values():
                if job.crashes:  # the next death would make it a suspect, which waits for more
                    crew.queue.cancel(job.id)
    recovered(waits)
    assert max(waits) <= 36.0


def test_what_kills_its_workers_is_given_up_after_three_and_its_neighbours_live(
    place: Place, tmp_path: Path
) -> None:
    names = [f"talk-{number}" for number in range(min(20, 6 * TIMES))]
    with fleet(place, tmp_path, lease_s=BUSY_LEASE_S) as crew:
        (poisoned,) = crew.submit("poison-9000")
        crew.submit(*names)
        crew.start()
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        assert_every_file_was_done_once(crew, names)
        dead = crew.queue.get(poisoned)
        assert (dead.status, dead.cause, dead.attempts) == (
            JobStatus.FAILED,
            DeathCause.CRASHES,
            3,
        )
        crew.start()
        assert crew.deaths == 3
        noted(accepted=len(names) + 1, completed=len(names), dead_lettered_on_purpose=1, kills=3)


def test_a_zombie_that_wakes_up_changes_nothing(place: Place, tmp_path: Path) -> None:
    alone = {"count": 1, "concurrency": 1, "lease_s": BUSY_LEASE_S}
    with fleet(place, tmp_path, chunk_s=0.3, **alone) as crew:
        (job,) = crew.submit("talk-1")
        crew.start()
        until(lambda: bool(crew.calls()), seconds=ENOUGH_S, meanwhile=lambda: None)
        zombie = crew.stop_one()
        crew.start()
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=lambda: None)
        done = crew.queue.get(job)
        crew.wake(zombie)
        time.sleep(1.5)
        assert crew.queue.get(job) == done
        assert (done.status, done.attempts) == (JobStatus.COMPLETED, 2)
        assert_every_file_was_done_once(crew, ["talk-1"])


def test_workers_that_are_told_to_leave_finish_or_hand_back(place: Place, tmp_path: Path) -> None:
    names = [f"talk-{number}" for number in range(8 * TIMES)]
    with fleet(place, tmp_path, lease_s=NOBODY_DIES_S) as crew:
        crew.submit(*names)
        crew.start()
        for _ in range(2 * TIMES):
            time.sleep(0.2)
            leaver = crew.crew[0]
            began = time.monotonic()
            leaver.send_signal(signal.SIGTERM)
            assert leaver.wait(30) == 0
            assert time.monotonic() - began < 25
            crew.start()
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        chunks = assert_every_file_was_done_once(crew, names)
        assert sum(crew.calls().values()) == chunks, "what fits into the grace is not done again"
        assert all(job.errors == job.crashes == 0 for job in crew.jobs().values())


def test_a_second_signal_waits_for_nothing(place: Place, tmp_path: Path) -> None:
    with fleet(place, tmp_path, count=1, chunk_s=20.0, lease_s=NOBODY_DIES_S) as crew:
        (job,) = crew.submit("talk-1")
        crew.start()
        until(lambda: bool(crew.calls()), seconds=ENOUGH_S, meanwhile=lambda: None)
        (leaver,) = crew.crew
        leaver.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert leaver.poll() is None
        began = time.monotonic()
        leaver.send_signal(signal.SIGTERM)
        assert leaver.wait(10) == 0
        remarked(f"left {time.monotonic() - began:.1f} s after the second signal")
        back = crew.queue.get(job)
        assert (back.status, back.errors, back.crashes) == (JobStatus.QUEUED, 0, 0)
