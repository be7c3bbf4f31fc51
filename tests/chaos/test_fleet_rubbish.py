"""A queue that strangers can write into: what is no call of ours runs nothing, costs nothing, and
does not come again."""

from __future__ import annotations

import base64
import json
import os
import pickle
import uuid
from collections.abc import Callable
from pathlib import Path

from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.adapters.celery_broker import QUEUES
from stretto.contexts.queue.model import JobPriority
from tests.caches import RedisServer
from tests.chaos.celery_fleet import SOON_S, celery_fleet
from tests.chaos.fleet import until
from tests.chaos.outcome import assert_nothing_was_done_twice


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
