"""Celery workers that are killed, told to leave, and told to stop a job: nothing is lost, none is
done twice, and nobody waits for longer than is promised."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import WorkerState
from tests.caches import RedisServer
from tests.chaos.celery_fleet import SOON_S, celery_fleet, names
from tests.chaos.fleet import until
from tests.chaos.outcome import assert_every_file_was_done_once, assert_nothing_was_done_twice
from tests.chaos.score import note, remarked
from tests.chaos.terms import SEED, TIMES

pytestmark = pytest.mark.timeout(300 * TIMES)


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_that_is_killed_leaves_its_jobs_to_another_one(
    home: Path, tmp_path: Path, redis: RedisServer, pool: str
) -> None:
    files, dice = names(4 * TIMES), random.Random(SEED)
    with celery_fleet(
        home, tmp_path, redis.url, count=2, pool=pool, chunk_s=0.4, concurrency=1
    ) as fleet:
        fleet.start()
        fleet.submit(*files)
        fleet.wait_for_calls(1)
        for _ in range(2 if TIMES == 1 else 2 * TIMES):
            fleet.kill(dice)
            fleet.start()
            time.sleep(dice.uniform(0.0, 1.0))
        fleet.wait(SOON_S * TIMES, meanwhile=fleet.start)
        fleet.retry_the_dead()  # three kills in a row may hit the same file
        fleet.wait(SOON_S * TIMES, meanwhile=fleet.start)
        chunks = assert_every_file_was_done_once(fleet, files)
        note(fleet, chunks=chunks, kills=fleet.deaths)
        assert fleet.deaths >= 2
        assert sum(fleet.calls().values()) <= chunks + 2 * fleet.deaths


def test_a_running_job_is_cancelled_within_two_seconds(
    home: Path, tmp_path: Path, redis: RedisServer
) -> None:
    with celery_fleet(home, tmp_path, redis.url, pool="prefork", chunk_s=20.0) as fleet:
        (job,) = fleet.submit("talk-1")
        fleet.start()
        fleet.wait_for_calls(1)
        fleet.queue.cancel(job)
        asked = time.monotonic()
        fleet.wait(10.0)
        remarked(f"Celery: cancelled {time.monotonic() - asked:.1f} s after the wish")
        assert fleet.queue.get(job).status is JobStatus.CANCELLED


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_that_is_told_to_leave_finishes_first(
    home: Path, tmp_path: Path, redis: RedisServer, pool: str
) -> None:
    with celery_fleet(home, tmp_path, redis.url, pool=pool, chunk_s=0.5, concurrency=1) as fleet:
        first, second = fleet.submit("talk-1", "talk-2")
        fleet.start()
        fleet.wait_for_calls(1)
        (leaver,) = fleet.crew
        leaver.send_signal(signal.SIGTERM)
        assert leaver.wait(25) == 0
        statuses = {fleet.queue.get(first).status, fleet.queue.get(second).status}
        assert statuses == {JobStatus.COMPLETED, JobStatus.QUEUED}
        assert fleet.queue.nodes() == ()
        fleet.start()
        fleet.wait()
        assert_nothing_was_done_twice(fleet, ["talk-1", "talk-2"])
        assert fleet.queue.get(second).errors == 0


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_second_signal_hands_back_what_it_has(
    home: Path, tmp_path: Path, redis: RedisServer, pool: str
) -> None:
    with celery_fleet(home, tmp_path, redis.url, pool=pool, chunk_s=20.0) as fleet:
        (job,) = fleet.submit("talk-1")
        fleet.start()
        fleet.wait_for_calls(1)
        (leaver,) = fleet.crew
        leaver.send_signal(signal.SIGTERM)
        until(
            lambda: [node.state for node in fleet.queue.nodes()].count(WorkerState.DRAINING) >= 1,
            seconds=10,
            meanwhile=lambda: None,
        )
        assert leaver.poll() is None
        began = time.monotonic()
        leaver.send_signal(signal.SIGTERM)
        leaver.wait(10)
        remarked(f"Celery, {pool}: left {time.monotonic() - began:.1f} s after the second signal")
        back = fleet.queue.get(job)
        assert (back.status, back.errors, back.crashes) == (JobStatus.QUEUED, 0, 0)
