"""What a broker's queues promise: in memory, on a Redis-compatible server and on RabbitMQ."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError

from stretto.contexts.core.errors import BrokerUnavailable
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.adapters.celery_broker import CeleryMessages, an_app
from stretto.contexts.queue.model import JobPriority
from stretto.contexts.queue.ports import Messages
from tests.caches import RedisServer, redis_server
from tests.conftest import BROKERS
from tests.fakes.messages import MemoryMessages
from tests.rabbitmq import RabbitServer, free_ports


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture(params=["memory", *BROKERS])
def messages(request: pytest.FixtureRequest) -> Iterator[Messages]:
    if request.param == "memory":
        yield MemoryMessages()
        return
    messages = CeleryMessages(request.getfixturevalue(request.param).url)
    yield messages
    messages.close()


def test_queues_that_nobody_has_used_are_empty(messages: Messages) -> None:
    assert [messages.count(priority) for priority in JobPriority] == [0, 0, 0]


def test_each_message_waits_in_the_queue_of_its_priority(messages: Messages) -> None:
    for priority, times in ((JobPriority.LOW, 3), (JobPriority.HIGH, 1)):
        for _ in range(times):
            messages.send(JobId.new(), priority)
    assert [messages.count(priority) for priority in JobPriority] == [1, 0, 3]


def test_the_same_job_may_be_called_for_twice(messages: Messages) -> None:
    job = JobId.new()
    messages.send(job, JobPriority.MEDIUM)
    messages.send(job, JobPriority.MEDIUM)
    assert messages.count(JobPriority.MEDIUM) == 2


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_not_there_is_noticed_soon_and_named_without_its_password(
    scheme: str,
) -> None:
    messages = CeleryMessages(f"{scheme}://user:s3cret@127.0.0.1:{free_ports(1)[0]}/0")
    began = time.monotonic()
    for ask in (lambda: messages.send(JobId.new(), JobPriority.LOW), lambda: messages.count(0)):  # type: ignore[arg-type]
        with pytest.raises(BrokerUnavailable, match="does not answer") as caught:
            ask()
        assert "s3cret" not in caught.value.message
    assert time.monotonic() - began < 8
    messages.close()


def test_a_connection_that_the_broker_closed_is_opened_again(redis: RedisServer) -> None:
    messages = CeleryMessages(redis.url)
    messages.send(JobId.new(), JobPriority.HIGH)
    redis.stop()
    with pytest.raises(BrokerUnavailable):
        messages.send(JobId.new(), JobPriority.HIGH)
    redis.start()
    messages.send(JobId.new(), JobPriority.HIGH)
    assert messages.count(JobPriority.HIGH) == 1
    messages.close()


def test_whoever_counts_connects_once_and_again_when_the_broker_closed_it(
    redis: RedisServer,
) -> None:
    messages = CeleryMessages(redis.url)
    messages.count(JobPriority.HIGH)
    before = connections_to(redis)
    for priority in JobPriority:
        messages.count(priority)
    assert connections_to(redis) == before + 1
    redis.stop()
    with pytest.raises(BrokerUnavailable):
        messages.count(JobPriority.HIGH)
    redis.start()
    messages.send(JobId.new(), JobPriority.HIGH)
    assert messages.count(JobPriority.HIGH) == 1
    messages.close()


def connections_to(redis: RedisServer) -> int:
    """Since it started, with that of whoever asks here."""
    return int(redis.run("INFO", "stats")["total_connections_received"])


def test_counting_opens_one_connection_to_rabbitmq(rabbitmq: RabbitServer) -> None:
    before = rabbitmq.log().count("accepting AMQP connection")
    messages = CeleryMessages(rabbitmq.url)
    for _ in range(3):  # of queues that are not there, too
        assert [messages.count(priority) for priority in JobPriority] == [0, 0, 0]
    messages.close()
    assert rabbitmq.log().count("accepting AMQP connection") <= before + 1


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_stays_away_is_looked_for_every_few_seconds(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker; who waits the longer the longer it was away comes late when it is back."""
    waits: list[float] = []
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _: None)
    app = an_app(f"{scheme}://127.0.0.1:{free_ports(1)[0]}/0")
    with app.connection_for_read() as connection, pytest.raises(OperationalError):
        connection.ensure_connection(lambda _, wait: waits.append(wait), 20)
    app.close()
    assert len(waits) == 20
    assert waits[0] < 2
    assert max(waits) <= 3


def test_a_message_holds_the_id_of_the_job_and_nothing_else_of_it(redis: RedisServer) -> None:
    import base64
    import json

    messages, job = CeleryMessages(redis.url), JobId.new()
    messages.send(job, JobPriority.HIGH)
    messages.close()
    (raw,) = redis.run("LRANGE", "stretto.high", 0, -1)
    message = json.loads(raw)
    arguments, named, _ = json.loads(base64.b64decode(message["body"]))
    assert (arguments, named, message["content-type"]) == ([str(job)], {}, "application/json")


def test_the_highest_priority_is_0_for_redis(redis: RedisServer) -> None:
    messages = CeleryMessages(redis.url)
    for priority in JobPriority:
        messages.send(JobId.new(), priority)
    messages.close()
    keys = sorted(key.decode() for key in redis.run("KEYS", "stretto.*"))
    assert keys == ["stretto.high", "stretto.low\x06\x166", "stretto.medium\x06\x163"]
