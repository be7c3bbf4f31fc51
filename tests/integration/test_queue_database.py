"""The queue and its database: bells over PostgreSQL, clocks, and several processes at once."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.bootstrap.database import build_database
from stretto.bootstrap.queueing import build_queue, listening_bell, terms_of
from stretto.contexts.core.bus import EventBus
from stretto.contexts.database.model import Dialect
from stretto.contexts.queue.adapters.bell import LocalBell, PostgresBell
from stretto.contexts.queue.adapters.connections import MachineClock, ServerClock
from stretto.contexts.queue.dispatcher import Source
from stretto.contexts.queue.model import FileWork
from stretto.contexts.queue.service import QueueService
from tests.conftest import Place
from tests.servers import Database, settings_of

PROCESSES = 4
JOBS = 200


def a_queue(place: Place, database: Database) -> QueueService:
    return build_queue(settings_of(place), database, publish=EventBus().publish)


@pytest.fixture
def queue(place: Place, database: Database) -> QueueService:
    return a_queue(place, database)


@pytest.fixture
def bell(place: Place) -> Iterator[PostgresBell]:
    if isinstance(place, Path):
        pytest.skip("SQLite has nothing to ring with; its workers ask")
    bell = listening_bell(settings_of(place))
    assert isinstance(bell, PostgresBell)
    assert bell.listening.wait(10)
    bell.wait(1.0)
    yield bell
    bell.close()


def test_a_job_of_another_process_rings_once_it_is_committed(
    bell: PostgresBell, queue: QueueService, database: Database
) -> None:
    assert not bell.wait(0.2)
    with database.write():
        queue.submit(FileWork(path="/talk.mp3"))
        assert not bell.wait(0.3), "it is not committed yet"
    assert bell.wait(2.0)


def test_a_bell_that_lost_its_connection_rings_again(
    bell: PostgresBell, queue: QueueService, database: Database
) -> None:
    with database.read() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        ).fetchall()
    end = time.monotonic() + 10
    while bell.listening.is_set() and time.monotonic() < end:
        time.sleep(0.02)
    assert bell.listening.wait(10)
    bell.wait(1.0)
    queue.submit(FileWork(path="/talk.mp3"))
    assert bell.wait(2.0)


def test_a_bell_in_a_process_keeps_a_ring_that_nobody_waited_for() -> None:
    bell = LocalBell()
    bell.ring()
    assert bell.wait(0.0)
    assert not bell.wait(0.01)


def test_leases_go_by_the_clock_of_the_database(database: Database) -> None:
    clock = ServerClock() if database.dialect is Dialect.POSTGRESQL else MachineClock()
    with database.read() as connection:
        first, second = clock.read(connection), clock.read(connection)
    assert first.lease_s <= second.lease_s <= first.lease_s + 5
    assert first.boot == second.boot
    assert abs(first.at.unix_s - time.time()) < 60


def test_a_beat_comes_three_times_in_a_lease(tmp_path: Path) -> None:
    terms = terms_of(settings_of(tmp_path))
    assert (terms.lease_s, terms.beat_s, terms.sweep_s, terms.look_s) == (30, 10, 5, 1)


def test_ten_thousand_living_jobs_do_not_hide_a_dead_one(
    queue: QueueService, database: Database
) -> None:
    job = queue.submit(FileWork(path="/dead.mp3"))
    assert queue.dispatcher.take("dead", source=Source(), suspects=True) is not None
    with database.write() as connection:
        connection.execute(
            "UPDATE queue_job SET lease_until = lease_until - 1000 WHERE id = :id",
            {"id": str(job.id)},
        )
        connection.execute(
            """
            INSERT INTO queue_job (
                id, file, work, work_key, priority, status, created_at, updated_at, run_at, fence,
                holder, lease_until, lease_boot, errors, crashes, crashed_after, cancelling,
                progress, request_digest
            )
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001)
            SELECT CAST(n.i AS TEXT), file, work, CAST(n.i AS TEXT), priority, status, created_at,
                updated_at, run_at, 1, 'alive', lease_until + 100000, lease_boot, 0, 0, 0, 0,
                progress, ''
            FROM n, queue_job WHERE id = :id
            """,
            {"id": str(job.id)},
        )
    began = time.monotonic()
    found = queue.listed.expired(200)  # type: ignore[attr-defined]
    assert time.monotonic() - began < 1.0
    assert found == (job.id,)


def claim_and_finish(place: Place, start: float, done: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    from functools import partial

    from stretto.contexts.core.identifiers import TranscriptId
    from stretto.contexts.queue.model import JobProgress
    from stretto.contexts.queue.transitions import completed

    database = build_database(settings_of(place))
    queue = a_queue(place, database)
    time.sleep(max(0.0, start - time.time()))
    mine = []
    while (job := queue.dispatcher.take("w", source=Source(), suspects=True)) is not None:
        decide = partial(
            completed,
            fence=job.fence,
            transcript_id=TranscriptId.new(),
            progress=JobProgress(),
        )
        assert queue.dispatcher.change(job.id, decide) is not None
        mine.append(str(job.id))
    database.close()
    done.put(mine)


def test_processes_share_the_jobs_of_a_database_without_a_lock_being_seen(
    place: Place, queue: QueueService
) -> None:
    ids = {str(queue.submit(FileWork(path=f"/{number}.mp3")).id) for number in range(JOBS)}
    spawn = multiprocessing.get_context("spawn")
    done = spawn.Queue()
    start = time.time() + 2.0
    workers = [
        spawn.Process(target=claim_and_finish, args=(place, start, done)) for _ in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    taken = [one for _ in workers for one in done.get(timeout=60)]
    for worker in workers:
        worker.join(10)
        assert worker.exitcode == 0
    done.close()
    assert sorted(taken) == sorted(ids)
