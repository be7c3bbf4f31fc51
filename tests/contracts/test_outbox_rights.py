"""The right to deliver: one relay's at a time, whatever the clocks of the others say."""

from __future__ import annotations

import pytest

from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.database.adapters.outbox import SqlOutbox
from stretto.contexts.database.model import OutboxEvent
from stretto.contexts.database.outbox import LEASE_S, Subscription
from tests.contracts.test_outbox import Post, queued
from tests.fakes.clock import FakeClock
from tests.servers import Database


@pytest.fixture
def post(database: Database) -> Post:
    return Post(database)


def ahead_of(clock: FakeClock) -> FakeClock:
    return FakeClock(clock.unix_s + 7200.0)


def test_nobody_waits_for_the_clock_of_whoever_delivered_before(post: Post) -> None:
    post.write("s", queued(JobId.new()))
    assert post.relay(holder="ahead", clock=ahead_of(post.clock)).run_once() == 1
    post.write("s", queued(JobId.new()))
    assert post.relay(holder="two").run_once() == 1


def test_the_right_of_one_that_died_does_not_outlast_its_clock(post: Post) -> None:
    """It was two hours ahead, or the clock of all was set back."""
    post.write("s", queued(JobId.new()))
    outbox = SqlOutbox(post.database)
    assert outbox.lease("gone", now=ahead_of(post.clock)(), seconds=LEASE_S)
    assert post.relay(holder="two").run_once() == 1


def test_who_is_a_few_seconds_ahead_keeps_the_right_to_deliver(post: Post) -> None:
    post.write("s", queued(JobId.new()))
    outbox = SqlOutbox(post.database)
    assert outbox.lease("ahead", now=Timestamp(post.clock.unix_s + 5.0), seconds=LEASE_S)
    assert post.relay(holder="two").run_once() == 0


def test_the_right_to_deliver_outlasts_slow_consumers(post: Post) -> None:
    post.write("s", *(queued(JobId.new()) for _ in range(3)))
    delivered_by_another: list[int] = []

    def slow(_: OutboxEvent) -> None:
        post.clock.advance(LEASE_S * 0.6)
        delivered_by_another.append(post.relay(holder="two").run_once())

    relay = post.relay(Subscription(name="slow", kinds=(DomainEvent,), consumer=slow))
    assert relay.run_once() == 3
    assert delivered_by_another == [0, 0, 0]


def test_whoever_lost_the_right_does_not_give_back_that_of_another(post: Post) -> None:
    post.write("s", queued(JobId.new()))
    outbox = SqlOutbox(post.database)
    assert outbox.lease("late", now=post.clock(), seconds=LEASE_S)
    post.clock.advance(LEASE_S)
    assert outbox.lease("next", now=post.clock(), seconds=LEASE_S)
    outbox.give_back("late")
    assert post.relay(holder="third").run_once() == 0
