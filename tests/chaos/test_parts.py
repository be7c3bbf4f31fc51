"""Long files are shared by workers that are killed: no part is lost, nothing is put together twice,
and a part that kills its workers takes none of the others with it."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import DeathCause, Wanted
from tests.chaos.fleet import Fleet, fleet, until
from tests.chaos.outcome import assert_every_file_was_done_once, expected_text
from tests.chaos.score import note
from tests.chaos.terms import ENOUGH_S, KILLS, SEED, TIMES
from tests.chaos.worker import POISON, POISONED_CHUNK
from tests.conftest import Place

pytestmark = pytest.mark.timeout(180 * TIMES)

PARTS_AT_ONCE = 8
"""Two hands, each with as many parts as the settings let chunks be done at once."""


def test_long_files_are_shared_by_workers_that_are_killed(place: Place, tmp_path: Path) -> None:
    dice, kills = random.Random(SEED), 0
    names = [f"long-{number}" for number in range(2 * TIMES)]
    with fleet(place, tmp_path, chunk_s=0.4, lease_s=3) as crew:
        jobs = crew.submit(*names)
        crew.start()
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.3, 1.0))
            if crew.are_over():
                break
            crew.kill(dice)
            kills += 1
            crew.start()
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        mended = crew.retry_the_dead()  # three kills in a row may hit the same part
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        chunks = assert_every_file_was_done_once(crew, names, mended=mended)
        note(crew, chunks=chunks, kills=kills, mended=mended)
        assert sum(crew.calls().values()) <= chunks + kills * PARTS_AT_ONCE
        given_up = crew.events("JobFailed")
        for job_id in jobs:
            parts = crew.queue.listed.parts_of(job_id)
            # One that was given up itself begins anew, with all that is known of it by then.
            assert len(parts) > 4 or str(job_id) in given_up
            assert {part.status for part in parts} == {JobStatus.COMPLETED}


def test_all_workers_share_one_long_file(place: Place, tmp_path: Path) -> None:
    with fleet(place, tmp_path, count=2, concurrency=1, chunk_s=0.5, lease_s=10) as crew:
        (job,) = crew.submit("long-1")
        crew.start()
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        chunks = assert_every_file_was_done_once(crew, ["long-1"])
        assert sum(crew.calls().values()) == chunks, "nothing was done twice"
        assert len(crew.callers()) == 2
        assert len(crew.queue.listed.parts_of(job)) == chunks


def test_a_poisoned_chunk_is_a_gap_until_it_is_tried_again(place: Place, tmp_path: Path) -> None:
    name = f"long-{POISON}-9100"
    expected, _ = expected_text(name)
    with fleet(place, tmp_path, lease_s=3) as crew:
        (job,) = crew.submit(name)
        crew.start()
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        dead = only_dead_part(crew)
        assert (dead.cause, dead.attempts) == (DeathCause.CRASHES, 3)
        assert dead.work.part is not None
        assert dead.work.part.number == POISONED_CHUNK
        assert crew.queue.get(job).status is JobStatus.COMPLETED
        (partial,) = crew.texts()[name]
        assert partial != expected
        crew.cure()
        crew.queue.retry(dead.id)
        crew.start()
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        assert sorted(crew.texts()[name]) == sorted([partial, expected])
        assert crew.queue.get(job).status is JobStatus.COMPLETED


def only_dead_part(crew: Fleet):
    (dead,) = crew.queue.page(Wanted(status=JobStatus.FAILED))
    assert dead.parent is not None
    return dead
