"""Events are rows of the transaction that they report, and arrive: at least once, and in order."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stretto.contexts.core.events import DomainEvent, JobCompleted, JobQueued, TranscriptKept
from stretto.contexts.core.identifiers import FileHash, JobId, Timestamp, TranscriptId
from stretto.contexts.core.transcript import TranscriptStatus
from stretto.contexts.database.adapters import outbox
from stretto.contexts.database.adapters.outbox import OutboxWriter, SqlOutbox, receive
from stretto.contexts.database.model import OutboxEvent
from stretto.contexts.database.outbox import KEPT_FOR_S, LEASE_S, OutboxRelay, Subscription
from tests.conftest import Place
from tests.fakes.clock import FakeClock
from tests.fakes.examples import sha256_of
from tests.servers import Database, Server, opened

AT = Timestamp(5.0)


def queued(job: JobId) -> JobQueued:
    return JobQueued(at=AT, job_id=job, file="зал.mp3")


@dataclass
class Post:
    """An outbox, and somebody who reads what comes out."""

    database: Database
    clock: FakeClock = field(default_factory=FakeClock)
    heard: list[OutboxEvent] = field(default_factory=list)
    refuse: Callable[[OutboxEvent], bool] = lambda _: False

    def write(self, stream: str, *events: DomainEvent) -> None:
        with self.database.write() as connection:
            OutboxWriter().append(connection, stream, *events)

    def listen(self, event: OutboxEvent) -> None:
        if self.refuse(event):
            raise ConnectionError("nobody at home")
        self.heard.append(event)

    def relay(
        self, *others: Subscription, holder: str = "one", clock: FakeClock | None = None
    ) -> OutboxRelay:
        outbox = SqlOutbox(self.database)
        mine = Subscription(name="reader", kinds=(DomainEvent,), consumer=self.listen)
        return OutboxRelay(
            outbox=outbox,
            receipts=outbox,
            subscriptions=(*others, mine),
            clock=clock or self.clock,
            holder=holder,
        )

    def waiting(self) -> int:
        return len(SqlOutbox(self.database).waiting(after=0, limit=10**6))


@pytest.fixture
def post(database: Database) -> Post:
    return Post(database)


def test_an_event_comes_out_as_it_went_in(post: Post) -> None:
    event = TranscriptKept(
        at=AT,
        transcript_id=TranscriptId.new(),
        file_hash=FileHash(sha256_of("x")),
        version=2,
        status=TranscriptStatus.PARTIAL,
    )
    post.write("stream", event)
    assert post.relay().run_once() == 1
    assert [heard.event for heard in post.heard] == [event]
    assert post.relay().run_once() == 0


def test_an_event_of_a_transaction_that_was_undone_never_happened(post: Post) -> None:
    def write_and_fail() -> None:
        with post.database.write() as connection:
            OutboxWriter().append(connection, "s", queued(JobId.new()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert post.relay().run_once() == 0


def test_what_was_refused_comes_again_and_what_follows_it_waits(post: Post) -> None:
    sick, well = JobId.new(), JobId.new()
    done = JobCompleted(at=AT, job_id=sick, transcript_id=TranscriptId.new())
    post.write("sick", queued(sick), done)
    post.write("well", queued(well))
    post.refuse = lambda event: event.stream == "sick"
    assert post.relay().run_once() == 1
    assert [event.stream for event in post.heard] == ["well"]
    post.refuse = lambda _: False
    assert post.relay().run_once() == 2
    assert [type(event.event) for event in post.heard[1:]] == [JobQueued, JobCompleted]


def test_who_has_heard_of_it_does_not_hear_it_again_because_another_one_failed(post: Post) -> None:
    others: list[str] = []
    other = Subscription(
        name="other", kinds=(JobQueued,), consumer=lambda event: others.append(event.id)
    )
    post.write("s", queued(JobId.new()))
    post.refuse = lambda _: True
    post.relay(other).run_once()
    post.refuse = lambda _: False
    post.relay(other).run_once()
    assert len(others) == len(post.heard) == 1


def test_a_relay_that_died_before_it_could_say_so_delivers_twice_with_the_same_id(
    post: Post,
) -> None:
    post.write("s", queued(JobId.new()))
    relay = post.relay()
    died = Subscription(name="dies", kinds=(DomainEvent,), consumer=die)
    relay.subscriptions = (*relay.subscriptions, died)
    with pytest.raises(KeyboardInterrupt):
        relay.run_once()
    post.relay().run_once()
    assert len(post.heard) == 2
    assert len({event.id for event in post.heard}) == 1


def die(_: OutboxEvent) -> None:
    raise KeyboardInterrupt


def test_a_consumer_that_remembers_ids_in_its_transaction_acts_once(post: Post) -> None:
    with post.database.write() as connection:
        assert receive(connection, "me", "event 1", AT)
    with post.database.write() as connection:
        assert not receive(connection, "me", "event 1", AT)
        assert receive(connection, "you", "event 1", AT)


def test_one_relay_delivers_at_a_time_and_another_takes_over_when_it_is_gone(post: Post) -> None:
    outbox = SqlOutbox(post.database)
    post.write("s", queued(JobId.new()))
    assert outbox.lease("gone", now=post.clock(), seconds=LEASE_S)
    assert post.relay(holder="two").run_once() == 0
    post.clock.advance(LEASE_S)
    assert post.relay(holder="two").run_once() == 1
    post.write("s", queued(JobId.new()))
    assert post.relay(holder="three").run_once() == 1


def test_an_event_of_a_newer_program_waits_for_it_and_blocks_its_stream_alone(post: Post) -> None:
    post.write("new", queued(JobId.new()))
    with post.database.write() as connection:
        connection.execute("UPDATE outbox_event SET kind = 'SomethingNew'")
    post.write("new", queued(JobId.new()))
    post.write("old", queued(JobId.new()))
    assert post.relay().run_once() == 1
    assert post.waiting() == 2


def test_a_long_backlog_is_delivered_in_one_run_in_order(post: Post) -> None:
    jobs = [JobId.new() for _ in range(450)]
    post.write("s", *map(queued, jobs))
    assert post.relay().run_once() == 450
    heard = [event.event.job_id for event in post.heard if isinstance(event.event, JobQueued)]
    assert heard == jobs


def test_what_was_delivered_long_ago_is_forgotten(post: Post) -> None:
    post.write("s", queued(JobId.new()))
    post.relay().run_once()
    SqlOutbox(post.database).add("somebody", "an event", now=post.clock())
    post.clock.advance(KEPT_FOR_S + 1)
    post.write("s", queued(JobId.new()))
    post.relay().run_once()
    with post.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM outbox_event").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM outbox_receipt").fetchone() == (0,)


WRITER = """
import sys
from pathlib import Path
from stretto.bootstrap import build_database
from stretto.contexts.core.events import JobQueued
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.settings import Settings
database = build_database(Settings(home=Path(sys.argv[1]), database_url=sys.argv[2]))
while True:
    job = JobId.new()
    with database.write() as connection:
        event = JobQueued(at=Timestamp(1.0), job_id=job, file="f")
        OutboxWriter().append(connection, str(job), event)
    print(job, flush=True)
"""


def test_every_event_that_was_acknowledged_before_a_kill_is_delivered(
    place: Place, tmp_path: Path
) -> None:
    home, url = (place, "") if isinstance(place, Path) else (tmp_path, place.url)
    command = [sys.executable, "-c", WRITER, str(home), url]
    acknowledged: set[str] = set()
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            acknowledged |= {process.stdout.readline().strip() for _ in range(5)}
            process.kill()
            acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
    database = opened(place)
    post = Post(database)
    post.relay().run_once()
    assert acknowledged <= {event.stream for event in post.heard}
    database.close()


def numbers(database: Database, *, after: int = 0) -> list[int]:
    return [event.number for event in SqlOutbox(database).all_since(after=after, limit=100)]


def test_nobody_reads_past_an_event_that_is_still_being_written(
    server: Server, postgres_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers are given out before transactions end, in whatever order they do."""
    append, now = OutboxWriter().append, Timestamp(time.time())
    event = JobQueued(at=now, job_id=JobId.new(), file="зал.mp3")
    with (
        server.database(template=postgres_template) as address,
        closing(opened(address)) as one,
        closing(opened(address)) as other,
    ):
        with one.write() as slow:
            append(slow, "slow", event)
            with other.write() as quick:
                append(quick, "quick", event)
            assert numbers(other) == []
        first, second = numbers(other)
        with suppress(ZeroDivisionError), one.write() as failing:
            append(failing, "failing", event)
            raise ZeroDivisionError
        with one.write() as later:
            append(later, "later", event)
        assert numbers(other, after=second) == [], "it may still be written"
        monkeypatch.setattr(outbox, "WRITTEN_WITHIN_S", 0.0)
        (third,) = numbers(other, after=second)
        assert (second, third) == (first + 1, first + 3)


def test_a_number_is_never_given_away_again(database: Database) -> None:
    post = Post(database)
    job = JobId.new()
    post.write("first", queued(job))
    post.write("second", queued(job))
    post.relay().run_once()
    newest = SqlOutbox(database).newest()
    with database.write() as connection:
        OutboxWriter().forget(connection, "second")
    post.clock.advance(KEPT_FOR_S + 1)
    SqlOutbox(database).prune(before=post.clock())
    post.write("third", queued(job))
    assert SqlOutbox(database).newest() == newest + 1
