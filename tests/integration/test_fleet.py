"""The fleet from outside: what Flower and the doctor show, what is refused, what is never shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap.broker import look_at_broker
from stretto.bootstrap.fleet import pool_of
from stretto.contexts.core.errors import BrokerUnavailable, InvalidOption
from stretto.contexts.queue.adapters.celery_broker import CeleryMessages
from stretto.contexts.queue.model import JobPriority
from stretto.settings import Settings, load_settings
from tests.caches import RedisServer, redis_server
from tests.chaos.celery_fleet import SOON_S, celery_fleet
from tests.chaos.fleet import HOUSE
from tests.conftest import copied
from tests.rabbitmq import free_ports

SECRET = "s3cret-of-the-broker"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def home(sqlite_template: Path, tmp_path: Path) -> Path:
    return copied(sqlite_template, tmp_path / "home")


def celery(
    *arguments: str, broker: str, home: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "stretto.interfaces.celery", *arguments],
        env=environment(broker, home) | variables,
        capture_output=True,
        text=True,
        timeout=SOON_S,
        check=False,
    )


def environment(broker: str, home: Path) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("STRETTO_")}
    ours = {"PYTHONPATH": f"{HOUSE}:{HOUSE / 'src'}", "STRETTO_HOME": str(home)}
    return others | ours | {"STRETTO_BROKER_URL": broker}


@contextmanager
def flower(broker: str, home: Path) -> Iterator[str]:
    """Its address; it keeps nothing, and is open to whoever is on this machine."""
    (port,) = free_ports(1)
    options = [f"--port={port}", "--address=127.0.0.1", "--persistent=False"]
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "stretto.interfaces.celery", "flower", *options],
        env=environment(broker, home) | {"FLOWER_UNAUTHENTICATED_API": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def asked(url: str) -> Any:
    """The answer as soon as there is one that is not empty."""
    end = time.monotonic() + SOON_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                document = json.load(answer)
        except OSError:
            document = None
        if document or time.monotonic() > end:
            return document
        time.sleep(0.2)


def test_flower_lists_the_task_with_the_job_and_what_came_of_it(
    home: Path, tmp_path: Path, redis: RedisServer
) -> None:
    with celery_fleet(home, tmp_path, redis.url) as fleet, flower(redis.url, home) as address:
        fleet.start()
        assert asked(f"{address}/api/workers?refresh=1"), "Flower hears the worker"
        (job,) = fleet.submit("talk-1")
        fleet.wait()
        end, done = time.monotonic() + SOON_S, []
        while not done:  # perhaps beside a call too many, where nobody had come within a sweep
            assert time.monotonic() < end
            tasks = asked(f"{address}/api/tasks?state=SUCCESS").values()
            assert {task["name"] for task in tasks} == {"stretto.work"}
            assert all(str(job) in task["args"] for task in tasks)
            done = [task for task in tasks if str(job) in task["result"]]
        assert len(done) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-Q", "celery"], "There is no queue 'celery'"),
        (["-P", "solo"], "The pool is prefork or threads."),
        (["--pool-start-method", "fork"], "cannot be forked"),
    ],
)
def test_what_would_go_wrong_later_is_refused_at_the_start(
    home: Path, arguments: list[str], said: str
) -> None:
    done = celery("worker", *arguments, broker="redis://127.0.0.1:1/0", home=home)
    assert done.returncode == 1
    assert said in done.stderr


def test_without_a_broker_celery_is_told_what_is_missing(home: Path) -> None:
    done = celery("worker", broker="", home=home)
    assert done.returncode == 1
    assert "set STRETTO_BROKER_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_password_of_the_broker_is_in_no_message(home: Path) -> None:
    (port,) = free_ports(1)
    url = f"redis://:{SECRET}@127.0.0.1:{port}/0"
    settings = Settings(home=home, broker_url=url)
    look = look_at_broker(settings)
    assert look is not None
    with pytest.raises(BrokerUnavailable) as caught:
        look()
    with pytest.raises(InvalidOption) as refused:
        load_settings({"STRETTO_HOME": str(home), "STRETTO_BROKER_URL": f"http://:{SECRET}@x"})
    shown = repr(settings) + caught.value.message + refused.value.message
    assert SECRET not in shown


def test_the_doctor_counts_what_waits(home: Path, redis: RedisServer) -> None:
    from stretto.contexts.core.identifiers import JobId

    messages = CeleryMessages(redis.url)
    messages.send(JobId.new(), JobPriority.LOW)
    messages.close()
    look = look_at_broker(Settings(home=home, broker_url=redis.url))
    assert look is not None
    assert look() == f"redis://:**@127.0.0.1:{redis.port}/0, messages waiting: 1"
    assert look_at_broker(Settings(home=home)) is None


@pytest.mark.parametrize(
    ("given", "pool"),
    [
        ({}, "prefork"),
        ({"engine": "cloudru"}, "threads"),
        ({"engine": "openai", "align": True}, "prefork"),
        ({"engine": "openai", "hedge": "whisper"}, "prefork"),
        ({"engine": "openai", "hedge": "cloudru"}, "threads"),
        ({"engine": "somebody-elses"}, "prefork"),
    ],
)
def test_what_computes_here_gets_processes_and_what_waits_threads(
    given: dict[str, Any], pool: str
) -> None:
    assert pool_of(Settings(home=Path("/nonexistent"), **given)) == pool
