"""Whoever does not listen keeps nobody else from hearing, and is asked again: not at once, and, of
what is news, not for ever."""

from __future__ import annotations

import pytest

from stretto.contexts.core.events import JobQueued
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.database.model import OutboxEvent
from stretto.contexts.database.outbox import OutboxRelay, Subscription
from tests.contracts.test_outbox import AT, Post, queued
from tests.servers import Database

A_DAY_S = 86_400.0


@pytest.fixture
def post(database: Database) -> Post:
    """Its reader is at home."""
    return Post(database)


class Away:
    """Somebody who does not listen until ``back``."""

    def __init__(self, *, patience_s: float | None = None) -> None:
        self.patience_s = patience_s
        self.back = False
        self.asked: list[int] = []
        self.heard: list[int] = []

    def listen(self, event: OutboxEvent) -> None:
        self.asked.append(event.number)
        if not self.back:
            raise ConnectionError("nobody at home")
        self.heard.append(event.number)

    @property
    def subscription(self) -> Subscription:
        return Subscription(
            name="away", kinds=(JobQueued,), consumer=self.listen, patience_s=self.patience_s
        )


def numbers(post: Post) -> list[int]:
    return [event.number for event in post.heard]


def relay_of(post: Post, away: Away, *, most: int = 5000) -> OutboxRelay:
    relay = post.relay(away.subscription)
    relay.most = most
    return relay


def write(post: Post, events: int) -> None:
    post.write("s", *(queued(JobId.new()) for _ in range(events)))


def test_what_one_refuses_others_hear_and_what_follows_it_too(post: Post) -> None:
    away = Away()
    write(post, 3)
    assert relay_of(post, away).run_once() == 0
    assert numbers(post) == [1, 2, 3]
    assert away.asked == [1], "the later ones wait for the first"
    away.back = True
    assert relay_of(post, away).run_once() == 3
    assert away.heard == [1, 2, 3]
    assert numbers(post) == [1, 2, 3], "nobody hears it again"


def test_refused_events_at_the_front_hide_nothing_behind_them(post: Post) -> None:
    away = Away()
    write(post, 7)
    relay = relay_of(post, away, most=3)
    relay.run_once()
    post.write("other", queued(JobId.new()))
    relay.run_once()
    assert numbers(post) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_whoever_refused_is_asked_again_after_a_minute_and_not_at_each_run(post: Post) -> None:
    away = Away()
    write(post, 1)
    relay = relay_of(post, away)
    for _ in range(3):
        relay.run_once()
    assert away.asked == [1]
    post.write("other", queued(JobId.new()))
    relay.run_once()
    assert away.asked == [1, 2], "another stream is not that one"
    post.clock.advance(60.0)
    relay.run_once()
    assert away.asked == [1, 2, 1, 2]
    post.clock.advance(-7200.0)
    relay.run_once()
    assert away.asked == [1, 2, 1, 2, 1, 2], "nobody waits for a clock that was set back"


def test_news_is_given_up_when_it_is_old(post: Post) -> None:
    away = Away(patience_s=A_DAY_S)
    post.clock.unix_s = AT.unix_s + A_DAY_S
    write(post, 3)
    assert relay_of(post, away).run_once() == 0
    post.clock.advance(1.0)
    assert relay_of(post, away).run_once() == 3
    assert away.asked == [1, 1], "it is asked once for all of them"
    assert post.waiting() == 0


def test_old_news_is_told_to_whoever_listens(post: Post) -> None:
    away = Away(patience_s=A_DAY_S)
    away.back = True
    post.clock.unix_s = AT.unix_s + 9 * A_DAY_S
    write(post, 2)
    assert relay_of(post, away).run_once() == 2
    assert away.heard == [1, 2]
