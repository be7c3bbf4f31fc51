"""A Celery fleet over real brokers that forget their messages, die, and are away: no job is lost,
and none is done twice."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from stretto.contexts.core.events import JobStarted
from stretto.contexts.core.job import JobStatus
from tests.caches import RedisServer
from tests.chaos.celery_fleet import SOON_S, Broker, celery_fleet, names
from tests.chaos.fleet import until
from tests.chaos.outcome import assert_every_file_was_done_once, assert_nothing_was_done_twice
from tests.chaos.score import note, remarked
from tests.chaos.terms import SEED, TIMES

pytestmark = pytest.mark.timeout(300 * TIMES)
LOSING_LEASE_S = 6
"""A sweep every second."""

SLOW_MACHINE_S = 30.0


def clear(broker: Broker) -> None:
    """Every message is lost."""
    if isinstance(broker, RedisServer):
        broker.run("FLUSHALL")
    else:
        broker.clear()


def kill(broker: Broker) -> None:
    broker.stop() if isinstance(broker, RedisServer) else broker.kill()


def test_jobs_whose_messages_are_lost_are_called_for_again(
    home: Path, tmp_path: Path, broker: Broker
) -> None:
    with celery_fleet(home, tmp_path, broker.url) as fleet:
        fleet.submit(*names(4))
        clear(broker)
        fleet.start()
        fleet.wait()
        clear(broker)
        fleet.submit("talk-9")
        fleet.wait()
        assert_nothing_was_done_twice(fleet, [*names(4), "talk-9"])


def test_each_job_whose_message_is_lost_is_called_for_by_the_next_sweep(
    home: Path, tmp_path: Path, redis: RedisServer
) -> None:
    dice, files = random.Random(SEED), names(100 if TIMES > 1 else 5)
    with celery_fleet(home, tmp_path, redis.url, count=2, lease_s=LOSING_LEASE_S) as fleet:
        fleet.start()
        jobs = []
        for name in files:
            # What waits for a hand would say how fast this machine is, and not who was called when.
            until(lambda: fleet.open() < 2, seconds=SOON_S, meanwhile=lambda: None)
            jobs.append(fleet.submit_unheard(name))
            time.sleep(dice.uniform(0.0, 0.5))
        fleet.wait()
        assert_nothing_was_done_twice(fleet, files)
        note(fleet, chunks=sum(fleet.calls().values()), kills=0)
        started = [event for job in jobs for event in fleet.heard(job, JobStarted)]
        waits = sorted(event.waited_s for event in started)
        remarked(
            f"redis: {len(files)} lost on their own: begun after {waits[len(waits) // 2]:.1f} s"
            f" (median), {waits[-1]:.1f} s at most"
        )
        assert waits[-1] <= LOSING_LEASE_S / 6 + 1.0 + SLOW_MACHINE_S


def test_without_a_broker_jobs_are_accepted_and_done_when_it_is_there(
    home: Path, tmp_path: Path, redis: RedisServer
) -> None:
    with celery_fleet(home, tmp_path, redis.url) as fleet:
        redis.stop()
        began = time.monotonic()
        jobs = fleet.submit(*names(4))
        assert time.monotonic() - began < 6, "it is asked once, not for every job"
        assert all(fleet.queue.get(job).status is JobStatus.QUEUED for job in jobs)
        redis.start()
        fleet.start()
        fleet.wait()
        assert_nothing_was_done_twice(fleet, names(4))


def test_a_broker_that_dies_in_the_middle_loses_nothing(
    home: Path, tmp_path: Path, broker: Broker
) -> None:
    times, each = (10, 20) if TIMES > 1 and isinstance(broker, RedisServer) else (1, 6)
    files = names(each * times)
    with celery_fleet(home, tmp_path, broker.url, count=2, chunk_s=0.1) as fleet:
        fleet.start()
        waits = []
        for number in range(times):
            now = files[each * number : each * (number + 1)]
            fleet.submit(*now[: each // 2])
            fleet.wait_for_calls(len(fleet.calls()) + 1)
            if number == 5:
                clear(broker)
            kill(broker)
            fleet.submit(*now[each // 2 :])
            broker.start()
            back = time.monotonic()
            fleet.wait(SOON_S * each / 6, meanwhile=fleet.start)
            waits.append(time.monotonic() - back)
        chunks = assert_every_file_was_done_once(fleet, files)
        note(fleet, chunks=chunks, kills=0)
        print(f"done {sorted(round(wait, 1) for wait in waits)} s after the broker came back")
        assert sum(fleet.calls().values()) == chunks
