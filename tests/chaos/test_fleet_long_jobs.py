"""Jobs that take longer than a broker lets a message be held: with Redis its visibility timeout,
after which it is delivered again, with RabbitMQ ``consumer_timeout``, after which the channel is
closed. ``make chaos`` runs it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stretto.contexts.core.events import JobStarted
from tests.caches import RedisServer, redis_server
from tests.chaos.celery_fleet import SOON_S, CeleryFleet, celery_fleet
from tests.chaos.fleet import until
from tests.chaos.outcome import assert_every_file_was_done_once
from tests.chaos.score import note, noted, remarked
from tests.chaos.terms import TIMES
from tests.conftest import BROKERS
from tests.rabbitmq import PROGRAM, RabbitServer, rabbit_server

pytestmark = [
    pytest.mark.skipif(TIMES < 10, reason="takes a minute; make chaos runs it"),
    pytest.mark.timeout(600),
]
HELD_S = {"redis": 3, "rabbitmq": 10}
CHUNK_S = 6.0
"""None of these recordings has fewer than two chunks."""

SHORTEST_S = 2 * CHUNK_S

Broker = RedisServer | RabbitServer


@contextmanager
def started(broker: str, folder: Path) -> Iterator[Broker]:
    """Redis is told by its clients how long, RabbitMQ by its settings; it looks each second."""
    if broker == "redis":
        with redis_server(folder) as server:
            yield server
        return
    if not PROGRAM.exists():
        pytest.skip("RabbitMQ is not installed: apt install rabbitmq-server")
    held = {"consumer_timeout": 1000 * HELD_S[broker], "channel_tick_interval": 1000}
    with rabbit_server(folder, held) as server:
        yield server


@pytest.mark.parametrize("broker", BROKERS)
def test_jobs_that_outlast_the_patience_of_a_broker_are_done_once(
    home: Path, tmp_path: Path, broker: str
) -> None:
    """Three for two hands: one waits for the length of a job."""
    files = [f"talk-{number}" for number in range(3)]
    with (
        started(broker, tmp_path / "broker") as server,
        celery_fleet(home, tmp_path, server.url, chunk_s=CHUNK_S) as fleet,
    ):
        fleet.environment["STRETTO_TEST_VISIBILITY_S"] = str(HELD_S["redis"])
        fleet.start()
        began = time.monotonic()
        fleet.submit(*files)
        fleet.wait_for_calls(2)
        until(lambda: held_at(server) == 0, seconds=SHORTEST_S - 2, meanwhile=lambda: None)
        fleet.wait(SOON_S * 4)
        took_s = time.monotonic() - began
        assert_none_was_delivered_again(fleet, server)
        chunks = assert_every_file_was_done_once(fleet, files)
        note(fleet, chunks=chunks, kills=0)
        noted(faults=1)
        remarked(
            f"{broker}: three jobs for two hands took {took_s:.0f} s, a message may be held for"
            f" {HELD_S[broker]} s"
        )
        assert all(took > HELD_S[broker] for took in lengths_s(fleet))
        assert sum(fleet.calls().values()) == chunks
        assert all(job.attempts == 1 for job in fleet.jobs().values())


def held_at(server: Broker) -> int:
    """Messages that somebody has and did not acknowledge; RabbitMQ tells by closing the channel."""
    return int(server.run("HLEN", "unacked")) if isinstance(server, RedisServer) else 0


def lengths_s(fleet: CeleryFleet) -> list[float]:
    return [
        job.updated_at.unix_s - started.at.unix_s
        for job in fleet.jobs().values()
        for started in fleet.heard(job.id, JobStarted)
    ]


def assert_none_was_delivered_again(fleet: CeleryFleet, server: Broker) -> None:
    """And the worker is there, with the channel that it had."""
    assert [worker.poll() for worker in fleet.crew] == [None]
    assert "Connection to broker lost" not in fleet.log()
    assert "PRECONDITION_FAILED" not in fleet.log()
    assert held_at(server) == 0
    if isinstance(server, RabbitServer):
        assert "PRECONDITION_FAILED" not in server.log()
        assert "timed out" not in server.log()
