"""A process of a Celery worker: how many hands it has, whenever the first message comes."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from stretto.contexts.core.errors import InvalidIdentifier
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.model import JobPriority
from stretto.interfaces.celery_worker import NOTHING, FleetProcess


class Idle:
    """A called worker without jobs."""

    def start(self) -> None:
        pass

    def answer(self) -> None:
        return None


class OnPaper:
    """Writes down what is asked for."""

    def __init__(self) -> None:
        self.hands: list[int] = []

    def called_worker(self, *, concurrency: int, queues: tuple[JobPriority, ...]) -> Any:
        self.hands.append(concurrency)
        return Idle()

    def caller(self, queues: tuple[JobPriority, ...], *, idle: Any) -> Any:
        raise NotImplementedError

    def log_lines(self) -> logging.Formatter:
        return logging.Formatter("%(message)s")

    def queue_named(self, name: str) -> JobPriority:
        return JobPriority[name.removeprefix("stretto.").upper()]


def prepared(wiring: OnPaper, pool: str) -> FleetProcess:
    """As Celery has it before it is connected: a broker may hand out a message before the worker
    calls itself ready."""
    queues = SimpleNamespace(consume_from={"stretto.high": None, "stretto.low": None})
    app = SimpleNamespace(amqp=SimpleNamespace(queues=queues), conf={})
    process = FleetProcess(wiring)
    process._prepare(
        SimpleNamespace(app=app, pool_cls=pool, pool_start_method="spawn", concurrency=3)
    )
    return process


def test_threads_have_all_their_hands_for_a_message_that_comes_at_once() -> None:
    wiring = OnPaper()
    process = prepared(wiring, "threads")
    assert process.work(str(JobId.new())) == NOTHING
    assert process.work(str(JobId.new())) == NOTHING
    assert wiring.hands == [3]


def test_a_process_of_a_pool_has_one() -> None:
    wiring = OnPaper()
    assert FleetProcess(wiring).work(str(JobId.new())) == NOTHING
    assert wiring.hands == [1]


@pytest.mark.parametrize("rubbish", ["", "../../etc/passwd", {"a": 1}, None])
def test_what_is_no_id_calls_nobody(rubbish: Any) -> None:
    wiring = OnPaper()
    with pytest.raises(InvalidIdentifier):
        FleetProcess(wiring).work(rubbish)
    assert wiring.hands == []
