"""A Celery fleet over real brokers: who does which job and in which order, and that a message too
many changes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import JobPriority
from tests.caches import RedisServer
from tests.chaos.celery_fleet import SOON_S, Broker, celery_fleet, names
from tests.chaos.fleet import until
from tests.chaos.outcome import assert_nothing_was_done_twice

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_what_is_submitted_is_done_and_its_workers_are_known(
    home: Path, tmp_path: Path, broker: Broker, pool: str
) -> None:
    with celery_fleet(home, tmp_path, broker.url, pool=pool) as fleet:
        fleet.submit(*names(4))
        fleet.start()
        fleet.wait()
        assert_nothing_was_done_twice(fleet, names(4))
        nodes = fleet.queue.nodes()
        hands = [node.concurrency for node in nodes]
        assert hands == ([2] if pool == "threads" else [1, 1])
        assert fleet.waiting() == 0
        assert "forked" not in fleet.log()


def test_two_workers_share_one_queue(home: Path, tmp_path: Path, broker: Broker) -> None:
    with celery_fleet(
        home, tmp_path, broker.url, count=2, concurrency=1, chunk_s=0.2, lease_s=6
    ) as fleet:
        fleet.start()
        fleet.submit(*names(6))
        fleet.wait()
        assert_nothing_was_done_twice(fleet, names(6))
        workers = {line.split()[1] for line in fleet.ledger.read_text().splitlines()}
        assert len(workers) == 2


def test_a_message_too_many_does_nothing(home: Path, tmp_path: Path, broker: Broker) -> None:
    with celery_fleet(home, tmp_path, broker.url) as fleet:
        (job,) = fleet.submit("talk-1")
        messages = fleet.messages()
        for _ in range(5):
            messages.send(job, JobPriority.MEDIUM)
        fleet.start()
        fleet.wait()
        until(lambda: fleet.waiting() == 0, seconds=SOON_S, meanwhile=lambda: None)
        messages.send(job, JobPriority.MEDIUM)
        until(lambda: "nothing to do" in fleet.log(), seconds=SOON_S, meanwhile=lambda: None)
        messages.close()
        assert_nothing_was_done_twice(fleet, ["talk-1"])
        assert fleet.queue.get(job).attempts == 1


def test_urgent_jobs_come_first_whatever_the_broker_hands_out(
    home: Path, tmp_path: Path, broker: Broker
) -> None:
    with celery_fleet(home, tmp_path, broker.url, concurrency=1, chunk_s=0.05) as fleet:
        low = fleet.submit_as(JobPriority.LOW, *names(4))
        high = fleet.submit_as(JobPriority.HIGH, "talk-8", "talk-9")
        fleet.start()
        fleet.wait()
        ended = sorted(low + high, key=lambda job: fleet.queue.get(job).updated_at)
        assert set(ended[:2]) == set(high)


def test_a_worker_serves_only_the_queues_that_it_is_given(
    home: Path, tmp_path: Path, redis: RedisServer
) -> None:
    with celery_fleet(home, tmp_path, redis.url, queues="stretto.high", pool="prefork") as fleet:
        (low,) = fleet.submit_as(JobPriority.LOW, "talk-1")
        (high,) = fleet.submit_as(JobPriority.HIGH, "talk-2")
        fleet.start()
        until(lambda: fleet.queue.get(high).is_over, seconds=SOON_S, meanwhile=lambda: None)
        assert fleet.queue.get(low).status is JobStatus.QUEUED
        assert {node.queues for node in fleet.queue.nodes()} == {(JobPriority.HIGH,)}


def test_a_busy_worker_leaves_the_next_call_to_others(
    home: Path, tmp_path: Path, broker: Broker
) -> None:
    """And holds no message for as long as its job takes, which brokers do not put up with."""
    with celery_fleet(home, tmp_path, broker.url, concurrency=1, chunk_s=60.0) as fleet:
        fleet.start()
        fleet.submit("talk-1")
        fleet.wait_for_calls(1)
        fleet.submit("talk-2")
        until(lambda: fleet.waiting() >= 1, seconds=SOON_S, meanwhile=lambda: None)
        assert fleet.log().count("] received") == 1
        fleet.count, fleet.chunk_s = 2, 0.02
        fleet.start()
        until(
            lambda: fleet.count_of(JobStatus.COMPLETED) == 1, seconds=SOON_S, meanwhile=fleet.start
        )


def test_a_broker_that_delivers_again_and_again_has_nothing_done_twice(
    home: Path, tmp_path: Path, redis: RedisServer
) -> None:
    """As Redis does with what takes longer than its visibility timeout."""
    with celery_fleet(home, tmp_path, redis.url, chunk_s=1.0) as fleet:
        (job,) = fleet.submit("talk-1")
        fleet.start()
        fleet.wait_for_calls(1)
        messages = fleet.messages()
        while not fleet.are_over():
            messages.send(job, JobPriority.MEDIUM)
            time.sleep(0.2)
        messages.close()
        until(lambda: fleet.waiting() == 0, seconds=SOON_S, meanwhile=lambda: None)
        assert_nothing_was_done_twice(fleet, ["talk-1"])
