"""Calling workers through a broker that forgets, is away, or has too much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from stretto.contexts.core.errors import BrokerUnavailable, StorageUnavailable
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.queue.model import EVERY_QUEUE, JobPriority, LeaseTerms
from stretto.contexts.queue.summons import ENOUGH, QUIET_S, ROUND_S, Caller, Summons
from tests.fakes.messages import MemoryMessages
from tests.unit.queue.jobs import a_job


class Seconds:
    """A clock of seconds that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Ready(dict[JobPriority, list[JobId]]):
    """Satisfies the port ReadyJobs."""

    away = False

    def ready(
        self, queues: Iterable[JobPriority], *, limit: int
    ) -> Mapping[JobPriority, tuple[JobId, ...]]:
        if self.away:
            raise StorageUnavailable
        return {queue: tuple(self.get(queue, ())[:limit]) for queue in queues}


class SlowMessages(MemoryMessages):
    """Each one that is sent takes a while."""

    def __init__(self, clock: Seconds, each_s: float) -> None:
        super().__init__()
        self._clock, self._each_s = clock, each_s

    def send(self, job_id: JobId, priority: JobPriority) -> None:
        self._clock.advance(self._each_s)
        super().send(job_id, priority)


@pytest.fixture
def messages() -> MemoryMessages:
    return MemoryMessages()


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def summons(messages: MemoryMessages, clock: Seconds) -> Summons:
    return Summons(messages=messages, clock=clock)


def ids(count: int) -> list[JobId]:
    return [JobId.new() for _ in range(count)]


def test_a_job_that_is_ready_calls_somebody(summons: Summons, messages: MemoryMessages) -> None:
    job = a_job(priority=JobPriority.HIGH)
    summons.call(job)
    assert list(messages.queues[JobPriority.HIGH]) == [job.id]


def test_one_that_is_to_wait_calls_nobody_yet(summons: Summons, messages: MemoryMessages) -> None:
    job = a_job()
    summons.call(replace(job, run_at=Timestamp(job.updated_at.unix_s + 4.0)))
    assert messages.tries == 0


def test_whoever_submits_waits_once_for_a_broker_that_is_away(
    summons: Summons, messages: MemoryMessages, clock: Seconds
) -> None:
    messages.away = True
    for _ in range(5):
        summons.call(a_job())
    assert messages.tries == 1
    messages.away = False
    clock.advance(QUIET_S)
    summons.call(a_job())
    assert messages.count(JobPriority.MEDIUM) == 1


def test_what_was_lost_is_called_for_again_and_nothing_else(
    summons: Summons, messages: MemoryMessages
) -> None:
    jobs = ids(5)
    messages.send(jobs[0], JobPriority.LOW)
    messages.send(jobs[1], JobPriority.LOW)
    ready = Ready({JobPriority.LOW: jobs})
    assert summons.call_again(ready, EVERY_QUEUE).sent == 3
    assert summons.call_again(ready, EVERY_QUEUE).sent == 0


def test_however_often_somebody_sweeps_there_are_not_more_messages_than_jobs(
    summons: Summons, messages: MemoryMessages
) -> None:
    ready = Ready({JobPriority.LOW: ids(7), JobPriority.HIGH: ids(3 * ENOUGH)})
    for _ in range(10):
        summons.call_again(ready, EVERY_QUEUE)
    assert messages.count(JobPriority.LOW) == 7
    assert messages.count(JobPriority.HIGH) == ENOUGH


def test_where_enough_messages_wait_the_database_is_not_asked(
    summons: Summons, messages: MemoryMessages
) -> None:
    ready = Ready({JobPriority.LOW: ids(3 * ENOUGH)})
    summons.call_again(ready, [JobPriority.LOW])
    ready.away = True
    called = summons.call_again(ready, [JobPriority.LOW])
    assert (called.sent, called.waiting) == (0, ENOUGH)


def test_all_jobs_are_called_for_in_the_end_though_not_at_once(
    summons: Summons, messages: MemoryMessages
) -> None:
    jobs = ids(5 * ENOUGH // 2)
    ready, fetched = Ready({JobPriority.LOW: list(jobs)}), []
    for _ in range(3):
        summons.call_again(ready, EVERY_QUEUE)
        while messages.queues[JobPriority.LOW]:
            fetched.append(messages.queues[JobPriority.LOW].popleft())
            ready[JobPriority.LOW].pop(0)
    assert len(fetched) == len(jobs)


def test_only_the_queues_of_this_machine_are_looked_after(
    summons: Summons, messages: MemoryMessages
) -> None:
    ready = Ready({JobPriority.LOW: ids(1), JobPriority.HIGH: ids(1)})
    assert summons.call_again(ready, (JobPriority.HIGH,)).sent == 1
    assert messages.count(JobPriority.LOW) == 0


@pytest.mark.parametrize("each_s", [0.1, 0.5, 1.5])
def test_a_slow_broker_does_not_keep_whoever_sweeps_from_giving_signs_of_life(
    clock: Seconds, each_s: float
) -> None:
    messages = SlowMessages(clock, each_s)
    summons, began = Summons(messages=messages, clock=clock), clock.now
    for _ in range(200):
        summons.call(a_job())
    assert clock.now - began < LeaseTerms().beat_s
    clock.advance(QUIET_S)
    sent = messages.count(JobPriority.MEDIUM)
    summons.call(a_job())
    assert messages.count(JobPriority.MEDIUM) == sent + 1


def test_a_message_that_had_to_wait_for_the_connection_keeps_none_from_the_next(
    clock: Seconds,
) -> None:
    messages = SlowMessages(clock, 10 * ROUND_S)
    summons = Summons(messages=messages, clock=clock)
    for _ in range(2):
        summons.call(a_job())
    assert messages.count(JobPriority.MEDIUM) == 2


def test_many_calls_through_a_broker_that_answers_at_once_are_all_made(clock: Seconds) -> None:
    messages = SlowMessages(clock, 0.01)
    summons = Summons(messages=messages, clock=clock)
    for _ in range(1000):
        summons.call(a_job())
    assert messages.count(JobPriority.MEDIUM) == 1000


def test_a_crowd_that_submits_at_once_is_not_taken_for_a_slow_broker(clock: Seconds) -> None:
    class Crowded(MemoryMessages):
        """While one message is sent, others wait for their turn."""

        others = 100

        def send(self, job_id: JobId, priority: JobPriority) -> None:
            if self.others:
                self.others -= 1
                summons.call(a_job())
            clock.advance(0.01)
            super().send(job_id, priority)

    messages = Crowded()
    summons = Summons(messages=messages, clock=clock)
    for _ in range(2):
        summons.call(a_job())
    assert messages.count(JobPriority.MEDIUM) == 102


def test_a_look_through_a_slow_broker_leaves_the_rest_to_the_next_one(clock: Seconds) -> None:
    messages, jobs = SlowMessages(clock, 0.5), ids(10)
    summons, ready = Summons(messages=messages, clock=clock), Ready({JobPriority.LOW: jobs})
    took_s, sent = [], []
    while not sent or sent[-1]:
        began = clock.now
        sent.append(summons.call_again(ready, EVERY_QUEUE).sent)
        took_s.append(clock.now - began)
    assert max(took_s) <= ROUND_S + 0.5
    assert messages.count(JobPriority.LOW) == len(jobs)


class Deaf:
    """A machine on which nothing happens, and what it does about it."""

    def __init__(self, summons: Summons, clock: Seconds) -> None:
        self.is_idle, self.ended, self.ready = True, 0, Ready({JobPriority.LOW: ids(1)})
        self.clock = clock
        self.caller = Caller(
            summons=summons,
            ready=self.ready,
            queues=EVERY_QUEUE,
            every_s=5.0,
            idle=lambda: self.is_idle,
            stuck=self.stuck,
            clock=clock,
        )

    def stuck(self) -> None:
        self.ended += 1

    def look(self, times: int) -> int:
        for _ in range(times):
            self.caller.look()
            self.clock.advance(5.0)
        return self.ended


@pytest.fixture
def deaf(summons: Summons, clock: Seconds) -> Deaf:
    return Deaf(summons, clock)


def test_a_machine_that_hears_nothing_although_messages_wait_ends_itself(deaf: Deaf) -> None:
    assert deaf.look(7) == 0  # of what the first one sends nobody can have heard yet
    assert deaf.look(1) == 1


def test_one_that_works_meanwhile_is_not_deaf(deaf: Deaf) -> None:
    deaf.look(7)
    deaf.is_idle = False
    deaf.look(1)
    deaf.is_idle = True
    assert deaf.look(6) == 0


def test_nor_is_one_whose_messages_others_fetch_between_its_looks(
    deaf: Deaf, messages: MemoryMessages
) -> None:
    """A job that is ready and may not be claimed is called for in each look."""
    for _ in range(20):
        assert deaf.look(1) == 0
        messages.queues[JobPriority.LOW].clear()


def test_nor_is_one_without_messages(deaf: Deaf) -> None:
    deaf.ready.clear()
    assert deaf.look(20) == 0


@pytest.mark.parametrize("away", ["broker", "database"])
def test_nor_is_one_whose_broker_or_database_was_away_in_between(
    deaf: Deaf, messages: MemoryMessages, away: str
) -> None:
    deaf.look(7)
    messages.away, deaf.ready.away = away == "broker", away == "database"
    with pytest.raises((BrokerUnavailable, StorageUnavailable)):
        deaf.look(1)
    messages.away = deaf.ready.away = False
    assert deaf.look(6) == 0
