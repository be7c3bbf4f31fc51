"""Each kind of trouble on the way to the broker: what is handed in is accepted without much
waiting, and is called for and done when the way is free again, once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stretto.contexts.core.job import JobStatus
from tests.caches import RedisServer
from tests.chaos.celery_fleet import SOON_S, CeleryFleet, calling, celery_fleet
from tests.chaos.fleet import until
from tests.chaos.links import TOXICS, Link, Toxic, tcp_link
from tests.chaos.outcome import assert_every_file_was_done_once
from tests.chaos.score import note, noted, remarked
from tests.chaos.terms import SEED, TIMES
from tests.conftest import BROKERS
from tests.rabbitmq import RabbitServer

pytestmark = pytest.mark.timeout(120 * TIMES)
BAD_S = 3.0
MINUTE_S = 60.0
SUBMITTED_S = 40.0
"""Ten times what a broker may take that answers nothing: two seconds for each of two tries."""

IN_HAND = 4
"""Calls of two workers that a fault may have interrupted."""


@pytest.mark.parametrize("toxic", TOXICS if TIMES >= 10 else (Toxic.BLACK_HOLE,))
def test_whatever_the_way_to_the_broker_is_like_jobs_are_accepted_and_called_for_later(
    home: Path, tmp_path: Path, redis: RedisServer, toxic: Toxic
) -> None:
    with (
        tcp_link(int(redis.port or 0)) as (link, port),
        celery_fleet(home, tmp_path, f"redis://127.0.0.1:{port}/0") as fleet,
    ):
        link.turn(toxic)
        began = time.monotonic()
        jobs = [job for number in range(3) for job in fleet.submit(f"talk-{number}")]
        took_s = time.monotonic() - began
        link.turn(Toxic.NONE)
        healed = time.monotonic()
        with calling(fleet, every_s=0.2):
            until(lambda: fleet.waiting() >= 3, seconds=SOON_S, meanwhile=lambda: None)
        noted(faults=1)
        remarked(
            f"broker, {toxic}: three jobs accepted in {took_s:.1f} s,"
            f" called for {time.monotonic() - healed:.1f} s after the trouble"
        )
        assert took_s < SUBMITTED_S
        assert all(fleet.queue.get(job).status is JobStatus.QUEUED for job in jobs)


@pytest.mark.skipif(TIMES < 10, reason="takes minutes; make chaos runs it")
@pytest.mark.parametrize("broker", BROKERS)
def test_whatever_the_way_to_the_broker_is_like_nothing_is_lost_or_done_twice(
    home: Path, tmp_path: Path, request: pytest.FixtureRequest, broker: str
) -> None:
    toxics = list(TOXICS)
    random.Random(SEED).shuffle(toxics)
    with linked(home, tmp_path, request.getfixturevalue(broker)) as (fleet, link):
        waits_s = {toxic: through(fleet, link, toxic, n, BAD_S) for n, toxic in enumerate(toxics)}
        assert_all_was_done_once(fleet, troubles=len(toxics))
        worst = max(waits_s, key=lambda toxic: waits_s[toxic])
        remarked(f"{broker}: all done {waits_s[worst]:.1f} s after the trouble at most ({worst})")


@pytest.mark.skipif(TIMES < 10, reason="takes minutes; make chaos runs it")
@pytest.mark.parametrize("toxic", [Toxic.BLACK_HOLE, Toxic.DOWN])
@pytest.mark.parametrize("broker", BROKERS)
def test_after_a_minute_without_a_broker_it_is_heard_again_soon(
    home: Path, tmp_path: Path, request: pytest.FixtureRequest, broker: str, toxic: Toxic
) -> None:
    """Long enough that a worker notices, and has looked for the broker again many times."""
    with linked(home, tmp_path, request.getfixturevalue(broker)) as (fleet, link):
        took_s = through(fleet, link, toxic, 0, MINUTE_S)
        assert_all_was_done_once(fleet, troubles=1)
        remarked(f"{broker}: all done {took_s:.1f} s after a minute of: {toxic}")


@contextmanager
def linked(
    home: Path, folder: Path, server: RedisServer | RabbitServer
) -> Iterator[tuple[CeleryFleet, Link]]:
    """Two workers, and the way to their broker."""
    with tcp_link(int(server.port or 0)) as (link, port):
        scheme = urlsplit(server.url)
        where = scheme._replace(netloc=scheme.netloc.replace(str(server.port), str(port)))
        with celery_fleet(home, folder, where.geturl(), count=2, chunk_s=0.1) as fleet:
            fleet.start()
            yield fleet, link


def assert_all_was_done_once(fleet: CeleryFleet, *, troubles: int) -> None:
    chunks = assert_every_file_was_done_once(fleet, [f"talk-{n}" for n in range(4 * troubles)])
    note(fleet, chunks=chunks, kills=0)
    noted(faults=troubles)
    assert sum(fleet.calls().values()) <= chunks + IN_HAND * troubles


def through(fleet: CeleryFleet, link: Link, toxic: Toxic, number: int, bad_s: float) -> float:
    """Jobs before and in the middle of one trouble. Returns how long after it all were done."""
    names = [f"talk-{4 * number + one}" for one in range(4)]
    fleet.submit(*names[:2])
    link.turn(toxic)
    fleet.submit(*names[2:])
    time.sleep(bad_s)
    link.turn(Toxic.NONE)
    healed = time.monotonic()
    fleet.wait(SOON_S * 2, meanwhile=fleet.start)
    return time.monotonic() - healed
