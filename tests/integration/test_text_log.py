"""The text of a job is told between its other events: on PostgreSQL, transactions that write at the
same time end in any order, and whoever listens asks for what comes behind the newest number."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from stretto.bootstrap.text_log import TextLog
from stretto.contexts.core.events import JobTextHeard
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.core.transcript import Segment
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.database.model import ConnectionString
from tests.queues import queue_on
from tests.servers import Database, Server, opened
from tests.unit.queue.jobs import a_submission, job_id

SOON_S = 60.0
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
CHANGED = "UPDATE queue_job SET progress = progress WHERE id = :id"


@pytest.fixture
def address(server: Server, postgres_template: str) -> Iterator[ConnectionString]:
    with server.database(template=postgres_template) as address:
        yield address


@pytest.fixture
def database(address: ConnectionString) -> Iterator[Database]:
    with closing(opened(address)) as database:
        yield database


@pytest.fixture
def elsewhere(address: ConnectionString) -> Iterator[Database]:
    """The same, for whoever listens in another process."""
    with closing(opened(address)) as database:
        yield database


def an_event(text: str) -> JobTextHeard:
    return JobTextHeard(
        at=Timestamp(0.0),
        job_id=job_id(1),
        attempt=1,
        segments=(Segment(start=0.0, end=1.0, text=text),),
    )


def somebody_waits(database: Database) -> bool:
    with database.read() as connection:
        return connection.execute(WAITING).fetchone() != (0,)


def test_whoever_listens_to_a_job_misses_nothing_that_is_written_at_the_same_time(
    database: Database, elsewhere: Database
) -> None:
    queue_on(database).jobs.add(a_submission())
    events = queue_on(elsewhere).log
    stream = str(job_id(1))
    before = events.since(stream, after=0, limit=100)[-1].number
    log = TextLog(database)
    writing = threading.Thread(target=log.append, args=(an_event("second"),))
    with database.write() as connection:
        connection.execute(CHANGED, {"id": stream})
        OutboxWriter().append(connection, stream, an_event("first"))
        writing.start()
        end = time.monotonic() + SOON_S
        while writing.is_alive() and not somebody_waits(elsewhere):
            assert time.monotonic() < end
            time.sleep(0.01)
        early = events.since(stream, after=before, limit=100)
    writing.join()
    behind = early[-1].number if early else before
    later = events.since(stream, after=behind, limit=100)
    heard = [one.event.segments[0].text for one in (*early, *later)]
    assert heard == ["first", "second"]


def test_the_text_of_a_job_that_is_gone_is_no_error(database: Database) -> None:
    TextLog(database).append(an_event("for nobody"))
