"""Processes that die in exactly the moments in which a message is lost.

``python -m tests.chaos.doomed`` forks one of them for each line of its standard input, and answers
with a line: the signal it died of, or 0.

``submit HOME BROKER NAME`` hands a job in, and dies when it is committed and nobody was called yet.
``take BROKER`` is a worker that takes a message, and dies when the broker has forgotten it and the
job is not claimed yet: with Redis between the two commands of kombu that take it and note that
somebody has it, with RabbitMQ when it is acknowledged.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from kombu import Consumer
from kombu.transport import redis as kombu_redis

from stretto.bootstrap.database import build_database
from stretto.bootstrap.queueing import build_queue
from stretto.contexts.core.bus import EventBus
from stretto.contexts.queue.adapters.celery_broker import CeleryMessages, an_app, is_redis
from stretto.contexts.queue.model import FileWork
from tests.chaos.fleet import ENGLISH
from tests.servers import settings_of

WAITS_S = 30.0
"""For a message."""


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def submit(home: str, broker: str, name: str) -> None:
    settings = settings_of(Path(home), broker_url=broker)
    database = build_database(settings)
    queue = build_queue(settings, database, publish=EventBus().publish)
    CeleryMessages.send = die  # type: ignore[method-assign]
    queue.submit(FileWork(path=f"/nowhere/{name}.wav", options=ENGLISH))


def take(broker: str) -> None:
    def acknowledge(_: object, message: Any) -> None:
        message.ack()
        die()

    if is_redis(broker):
        kombu_redis.QoS.append = die
    app = an_app(broker)
    with (
        app.connection_for_read() as connection,
        Consumer(
            connection, queues=app.conf.task_queues, callbacks=[acknowledge], prefetch_count=1
        ),
    ):
        connection.drain_events(timeout=WAITS_S)


def answer(line: str) -> int:
    what, *arguments = line.split()
    child = os.fork()
    if child == 0:
        try:
            {"submit": submit, "take": take}[what](*arguments)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


if __name__ == "__main__":
    for line in sys.stdin:
        print(answer(line), flush=True)
