"""Events are delivered when the work that wrote them is done; after a crash, at the next start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Event
from typing import Any, Never
from uuid import UUID

import pytest

from stretto.bootstrap import build, build_archive
from stretto.bootstrap import relay as relay_module
from stretto.bootstrap.relay import RelayThread
from stretto.contexts.caching.adapters.sql import SqlCacheStore
from stretto.contexts.caching.adapters.sql_records import SqlInvalidationRecords
from stretto.contexts.caching.model import CacheEntry, CacheKey, Origin
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.core.events import JobCancelled, JobCompleted, JobQueued, TranscriptDeleted
from stretto.contexts.core.identifiers import FileHash, JobId, Timestamp, TranscriptId
from stretto.contexts.database.adapters.outbox import OutboxWriter, SqlOutbox
from stretto.contexts.database.adapters.schema import SchemaGuard
from stretto.contexts.database.outbox import OutboxRelay
from stretto.contexts.processing.library import Wanted
from stretto.migrations import REVISIONS
from tests.conftest import Place
from tests.fakes.clock import FakeClock
from tests.fakes.examples import sha256_of
from tests.servers import Database, opened, settings_of
from tests.unit.queue.shop import until

FILE = FileHash(sha256_of("a file"))
KEY = CacheKey(sha256_of("an answer"))


@pytest.fixture
def left(place: Place) -> Iterator[Database]:
    """A process deleted the last transcript of a file, and died before it said so to the cache."""
    database = opened(place)
    clock = FakeClock()
    kept = CacheEntry(
        key=KEY, value=b"what was said", created_at=clock(), origin=Origin(source=FILE)
    )
    SqlCacheStore(database, now=clock).put(kept)
    event = TranscriptDeleted(
        at=Timestamp(5.0),
        transcript_id=TranscriptId(UUID(int=1)),
        file_hash=FILE,
        last_of_file=True,
    )
    with database.write() as connection:
        OutboxWriter().append(connection, "a transcript", event)
    yield database
    database.close()


def answer(database: Database) -> bytes | None:
    entry = SqlCacheStore(database, now=FakeClock()).get(KEY)
    return entry.value if entry else None


def waiting(database: Database) -> int:
    return len(SqlOutbox(database).waiting(after=0, limit=100))


def test_whatever_is_done_next_delivers_what_a_crash_left_behind(
    left: Database, place: Place
) -> None:
    with build_archive(settings_of(place)) as archive:
        archive.page(Wanted())
        assert answer(left) == b"what was said"  # the start itself is not kept waiting
    assert answer(left) is None
    assert waiting(left) == 0


def test_a_delivery_that_fails_does_not_spoil_the_work_and_is_due_again(
    left: Database, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Never:
        raise StorageUnavailable("The disk is gone.")

    with monkeypatch.context() as broken, build_archive(settings_of(place)) as archive:
        broken.setattr(SqlInvalidationRecords, "add", full)
        archive.page(Wanted())
    assert waiting(left) == 1
    with build_archive(settings_of(place)) as archive:
        archive.page(Wanted())
    assert waiting(left) == 0


def test_nobody_who_works_waits_for_those_who_do_not_listen(
    left: Database, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a job is told by the hand that did it, or by whoever gives signs of life."""
    released, answered_in_time = Event(), []

    def slow(_: TranscriptDeleted) -> None:
        answered_in_time.append(released.wait(10.0))

    monkeypatch.setattr(relay_module, "what_forgets", lambda *_: {"slow": slow})
    with build(settings_of(place)) as application:
        application.archive.page(Wanted())  # finds what was left
        end = JobCompleted(
            at=Timestamp(6.0), job_id=JobId.new(), transcript_id=TranscriptId(UUID(int=1))
        )
        application.events.publish(end)
        released.set()
    assert answered_in_time == [True]
    assert waiting(left) == 0, "it was delivered before the program ended"


def relay_of(database: Database, due: Event, *, most: int = 100) -> OutboxRelay:
    outbox = SqlOutbox(database)
    return OutboxRelay(
        outbox=outbox, receipts=outbox, subscriptions=(), clock=FakeClock(), due=due, most=most
    )


def write(database: Database, due: Event, *, count: int = 1) -> None:
    with database.write() as connection:
        events = [JobQueued(at=Timestamp(1.0), job_id=JobId.new(), file="f") for _ in range(count)]
        OutboxWriter(wrote=due.set).append(connection, "s", *events)


def test_the_relay_runs_when_something_was_written_and_only_then(database: Database) -> None:
    due = Event()
    relay = relay_of(database, due)
    write(database, due)
    assert relay.run_if_due() == 1
    write(database, Event())  # by somebody who told nobody
    assert relay.run_if_due() == 0
    write(database, due)
    assert relay.run_if_due() == 2


def test_without_events_not_one_statement_is_run(database: Database) -> None:
    relay = relay_of(database, Event())
    database.close()
    assert relay.run_if_due() == 0


def test_a_run_that_failed_is_due_again(database: Database, place: Place) -> None:
    due = Event()
    relay = relay_of(database, due)
    write(database, due)
    database.close()
    with pytest.raises(StorageUnavailable):
        relay.run_if_due()
    assert due.is_set()


def test_a_run_has_an_end_however_long_the_backlog_is(database: Database) -> None:
    due = Event()
    relay = relay_of(database, due, most=30)
    write(database, due, count=70)
    assert [relay.run_once() for _ in range(4)] == [30, 30, 10, 0]


def test_what_was_committed_is_delivered_even_if_the_relay_looked_just_before(
    database: Database,
) -> None:
    """An event is announced while it is written: whoever looks then finds nothing."""
    due, events = Event(), EventBus()
    thread = RelayThread(relay_of(database, due))
    thread.follow(events)
    try:
        write(database, due)
        due.clear()
        assert thread.deliver() == 1
        write(database, due)
        due.clear()
        events.publish(JobCancelled(at=Timestamp(6.0), job_id=JobId.new()))
        until(lambda: waiting(database) == 0)
    finally:
        thread.close()


class Counting:
    """A connection that counts what is asked of it."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.count = connection, 0

    def execute(self, statement: str, values: Mapping[str, Any] | None = None, /) -> Any:
        self.count += 1
        return self.connection.execute(statement, values or {})


def test_the_first_look_at_a_database_finds_what_was_left_and_costs_no_statement_more(
    database: Database,
) -> None:
    found = Event()
    guard = SchemaGuard(
        revisions=REVISIONS, dialect=database.dialect, place="here", left_behind=found.set
    )

    def look() -> bool:
        found.clear()
        with database.read() as connection:
            counting = Counting(connection)
            guard(counting)
        assert counting.count == 2
        return found.is_set()

    assert not look()
    write(database, Event())
    assert look()
    relay_of(database, Event()).run_once()
    assert not look()
