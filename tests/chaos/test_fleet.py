"""A Celery fleet over real brokers that forget, die and are filled with rubbish, with workers that
are killed: no job is lost, and none is done twice."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stretto.contexts.core.events import JobStarted
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.adapters.celery_broker import QUEUES
from stretto.contexts.queue.model import JobPriority, WorkerState
from tests.caches import RedisServer, redis_server
from tests.chaos.celery_fleet import SOON_S, CeleryFleet, celery_fleet
from tests.chaos.fleet import until
from tests.chaos.score import note, remarked
from tests.chaos.test_death import SEED, TIMES, assert_every_file_was_done_once
from tests.conftest import BROKERS, copied
from tests.rabbitmq import RabbitServer

pytestmark = pytest.mark.timeout(300 * TIMES)
LOSING_LEASE_S = 6
"""A sweep every second."""

SLOW_MACHINE_S = 30.0
Broker = RedisServer | RabbitServer


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Broker:
    found: Broker = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def home(sqlite_template: Path, tmp_path: Path) -> Path:
    return copied(sqlite_template, tmp_path / "home")


def clear(broker: Broker) -> None:
    """Every message is lost."""
    if isinstance(broker, RedisServer):
        broker.run("FLUSHALL")
    else:
        broker.clear()


def kill(broker: Broker) -> None:
    broker.stop() if isinstance(broker, RedisServer) else broker.kill()


def names(count: int) -> list[str]:
    return [f"talk-{number}" for number in range(count)]


def assert_nothing_was_done_twice(fleet: CeleryFleet, files: list[str]) -> None:
    chunks = assert_every_file_was_done_once(fleet, files)
    assert sum(fleet.calls().values()) == chunks


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


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def raw(body: bytes, content_type: str, *, task: str = "stretto.work") -> str:
    """A message as Celery writes it to Redis, with anything in it."""
    key = QUEUES[JobPriority.MEDIUM]
    tag = str(uuid.uuid4())
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "binary"
            if content_type == "application/x-python-serialize"
            else "utf-8",
            "content-type": content_type,
            "headers": {"lang": "py", "task": task, "id": tag, "root_id": tag, "argsrepr": "()"},
            "properties": {
                "correlation_id": tag,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "stretto", "routing_key": key},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": tag,
            },
        }
    )


def test_rubbish_in_the_queue_is_refused_and_runs_nothing(
    home: Path, tmp_path: Path, redis: RedisServer
) -> None:
    canary = tmp_path / "canary"
    empty = [{}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    rubbish = [
        raw(pickle.dumps(([Bomb(canary)], *empty)), "application/x-python-serialize"),
        raw(f"!!python/object/apply:os.system ['touch {canary}']".encode(), "application/x-yaml"),
        raw(json.dumps([["x" * 10_000_000], *empty]).encode(), "application/json"),
        raw(b"{no json", "application/json"),
        raw(
            json.dumps([[str(JobId.new())], *empty]).encode(), "application/json", task="os.system"
        ),
        raw(json.dumps([["../../etc/passwd"], *empty]).encode(), "application/json"),
        raw(json.dumps([[], *empty]).encode(), "application/json"),
        raw(json.dumps([[{"a": 1}], *empty]).encode(), "application/json"),
    ]
    with celery_fleet(home, tmp_path, redis.url) as fleet:
        fleet.start()
        for message in rubbish:
            redis.run("LPUSH", QUEUES[JobPriority.MEDIUM], message)
        until(lambda: fleet.waiting() == 0, seconds=SOON_S, meanwhile=lambda: None)
        fleet.submit("talk-1")
        fleet.wait()
        assert_nothing_was_done_twice(fleet, ["talk-1"])
        assert not canary.exists()
        assert [worker.poll() for worker in fleet.crew] == [None]
        assert redis.run("HLEN", "unacked") == 0
        assert len(fleet.log()) < 1_000_000, "what is refused is not written into the log"
