"""Events reach those who asked for them, in order; a failing subscriber harms nobody."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.events import DomainEvent, JobFailed, JobQueued
from stretto.contexts.core.identifiers import JobId, Timestamp


def queued(file: str = "talk.mp3") -> JobQueued:
    return JobQueued(at=Timestamp(0.0), job_id=JobId.new(), file=file)


def failed() -> JobFailed:
    return JobFailed(at=Timestamp(0.0), job_id=JobId.new(), reason="no")


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


def test_a_subscriber_hears_what_it_asked_for_in_order(bus: EventBus) -> None:
    heard: list[JobQueued] = []
    bus.subscribe(JobQueued, heard.append)
    first, second = queued(), queued()
    for event in (first, failed(), second):
        bus.publish(event)
    assert heard == [first, second]


def test_whoever_asked_for_a_base_class_hears_all_of_its_kinds(bus: EventBus) -> None:
    heard: list[DomainEvent] = []
    bus.subscribe(DomainEvent, heard.append)
    events = [queued(), failed()]
    for event in events:
        bus.publish(event)
    assert heard == events


def test_nobody_listening_is_no_trouble(bus: EventBus) -> None:
    bus.publish(queued())


def test_a_failing_subscriber_is_logged_and_the_others_still_hear(
    bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[DomainEvent] = []

    def fails(_: JobQueued) -> None:
        raise ValueError("monitoring is down")

    bus.subscribe(JobQueued, fails)
    bus.subscribe(JobQueued, heard.append)
    with caplog.at_level(logging.ERROR):
        bus.publish(queued())
    assert len(heard) == 1
    assert "JobQueued" in caplog.text
    assert "monitoring is down" in caplog.text


def test_a_subscription_can_be_ended_and_ended_again(bus: EventBus) -> None:
    heard: list[DomainEvent] = []
    end = bus.subscribe(JobQueued, heard.append)
    end()
    end()
    bus.publish(queued())
    assert heard == []


def test_ending_one_of_two_equal_subscriptions_twice_leaves_the_other(bus: EventBus) -> None:
    heard: list[DomainEvent] = []
    hear = heard.append
    end = bus.subscribe(JobQueued, hear)
    bus.subscribe(JobQueued, hear)
    end()
    end()
    bus.publish(queued())
    assert len(heard) == 1


def test_a_subscriber_may_publish_and_subscribe_while_it_hears(bus: EventBus) -> None:
    heard: list[DomainEvent] = []

    def reacts(_: JobQueued) -> None:
        bus.subscribe(JobFailed, heard.append)
        bus.publish(failed())

    bus.subscribe(JobQueued, reacts)
    bus.publish(queued())
    assert len(heard) == 1


def test_publishing_from_many_threads_loses_nothing(bus: EventBus) -> None:
    heard: list[str] = []
    bus.subscribe(JobQueued, lambda event: heard.append(event.file))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: bus.publish(queued(str(n))), range(500)))
    assert sorted(heard, key=int) == [str(n) for n in range(500)]
