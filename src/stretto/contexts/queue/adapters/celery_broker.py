"""The fleet's Celery: what its messages are, where they go, and how a broker is asked for them."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection, Exchange, Queue
from kombu.exceptions import ChannelError, KombuError

from stretto.contexts.core.errors import BrokerUnavailable
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.model import JobPriority

TASK: Final = "stretto.work"
QUEUES: Final = {priority: f"stretto.{priority}" for priority in JobPriority}

REDIS_PRIORITIES: Final = {JobPriority.HIGH: 0, JobPriority.MEDIUM: 3, JobPriority.LOW: 6}
"""0 is the highest. A worker empties each step over all its queues before the next one."""

AMQP_PRIORITIES: Final = {JobPriority.HIGH: 9, JobPriority.MEDIUM: 5, JobPriority.LOW: 1}
"""9 is the highest."""

ANSWER_S: Final = 2.0
"""So long a broker may take for one step, when somebody waits who submits a job."""

HEARTBEAT_S: Final = 5
START_S: Final = 60.0
"""So long a child may take to open its database on a busy machine."""

LONGEST_WAIT_S: Final = 3.0
"""So long a worker waits before it looks for a broker again that was not there."""

NOT_FOUND: Final = "404"
RETRY_ONCE: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
"""The connection may be one that the broker closed since."""

SILENCE_S: Final = 3.0 * HEARTBEAT_S
"""So long a worker waits for an answer while it sets up its connection, when no signs of life are
looked for yet."""

REDIS_OPTIONS: Final = {
    "socket_connect_timeout": ANSWER_S,
    "socket_timeout": SILENCE_S,
    "socket_keepalive": True,
    "health_check_interval": HEARTBEAT_S,
    "queue_order_strategy": "priority",
}
AMQP_OPTIONS: Final = {"read_timeout": SILENCE_S, "write_timeout": SILENCE_S}


class ImpatientConnection(Connection):  # type: ignore[misc]
    """To a broker that is looked for every few seconds, however long it was away: kombu waits two
    seconds longer after each try, up to half a minute, in which jobs that are called for find
    nobody. Not all workers of a fleet look at the same moment."""

    def ensure_connection(self, *given: Any, **named: Any) -> Connection:
        waits = {
            "interval_start": random.uniform(0.5, 1.5),  # noqa: S311 - spread, not secret
            "interval_step": 1.0,
            "interval_max": LONGEST_WAIT_S,
        }
        return super().ensure_connection(*given, **(waits | named))


class ImpatientAmqp(AMQP):  # type: ignore[misc]
    """What Celery makes its connections with."""

    Connection = ImpatientConnection


def is_redis(url: str) -> bool:
    return url.startswith("redis")


def an_app(url: str, *, modules: tuple[str, ...] = (), pool: str = "prefork") -> Celery:
    """Celery set up for messages that are only calls: JSON alone, acknowledged when a hand is
    there, fetched one at a time, without results; children are spawned, never forked."""
    app = Celery("stretto", broker=url, include=modules, set_as_current=False, amqp=ImpatientAmqp)
    exchange = Exchange("stretto", type="direct")
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_accept_content=["json"],
        task_queues=[Queue(name, exchange, routing_key=name) for name in QUEUES.values()],
        task_default_queue=QUEUES[JobPriority.MEDIUM],
        task_default_exchange="stretto",
        task_default_routing_key=QUEUES[JobPriority.MEDIUM],
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=is_redis(url),
        worker_pool=pool,
        worker_pool_start_method="spawn",
        worker_send_task_events=True,
        worker_concurrency=1,
        worker_proc_alive_timeout=START_S,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_timeout=ANSWER_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=2 * HEARTBEAT_S,
        broker_transport_options=REDIS_OPTIONS if is_redis(url) else AMQP_OPTIONS,
    )
    return app


class CeleryMessages:
    """Satisfies the port Messages, for Redis and for RabbitMQ; connects when it is used."""

    def __init__(self, url: str) -> None:
        self._app = an_app(url)
        self._priorities = REDIS_PRIORITIES if is_redis(url) else AMQP_PRIORITIES
        # Unlike a worker, whoever sends does not wait for messages, so that silence is trouble; and
        # nobody would send signs of life.
        timeout = ("socket_timeout",) if is_redis(url) else ("read_timeout", "write_timeout")
        self._app.conf.broker_heartbeat = 0
        self._app.conf.broker_transport_options = {
            **self._app.conf.broker_transport_options,
            **dict.fromkeys(timeout, ANSWER_S),
            **RETRY_ONCE,
        }
        self._connection = self._app.connection_for_write()
        self._producer = self._app.amqp.Producer(self._connection)
        self._lock = Lock()
        # Whoever submits does not wait for one that counts.
        self._counting = self._app.connection_for_write()
        self._channel: Any = None
        self._counting_lock = Lock()

    @property
    def place(self) -> str:
        """The address, without the password."""
        return str(self._connection.as_uri())

    def send(self, job_id: JobId, priority: JobPriority) -> None:
        with self._lock, self._unavailable():
            self._app.send_task(
                TASK,
                args=[str(job_id)],
                producer=self._producer,
                queue=QUEUES[priority],
                priority=self._priorities[priority],
                retry=True,
                retry_policy=RETRY_ONCE,
            )

    def count(self, priority: JobPriority) -> int:
        with self._counting_lock, self._unavailable():
            kept, self._channel = self._channel, None
            again = RETRY_ONCE if kept is not None else {**RETRY_ONCE, "max_retries": 0}
            try:
                count = self._counting.autoretry(_count, kept, **again)
                found, self._channel = count(QUEUES[priority])
            finally:
                if self._channel is None:  # a late answer is not for the next question
                    self._counting.collect()
        return int(found)

    def close(self) -> None:
        with self._lock, self._counting_lock:
            self._connection.release()
            self._counting.release()
            self._app.close()

    @contextmanager
    def _unavailable(self) -> Generator[None, None, None]:
        try:
            yield
        except _troubles() as trouble:
            said = type(trouble).__name__ if not str(trouble) else str(trouble)
            raise BrokerUnavailable(
                f"The broker {self.place} does not answer: {said.splitlines()[0][:200]}"
            ) from trouble


def _count(queue: str, *, channel: Any) -> int:
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError as error:
        if str(error.reply_code) != NOT_FOUND:
            raise
        return 0  # nobody has sent or fetched anything yet


def _troubles() -> tuple[Any, ...]:
    """What the libraries behind Celery raise; those of one that is not installed cannot happen."""
    from amqp.exceptions import AMQPError
    from redis.exceptions import RedisError

    return (OSError, KombuError, AMQPError, RedisError)
