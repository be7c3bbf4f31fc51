"""Which job is next: simulated over a queue of a thousand, second by second."""

from __future__ import annotations

from stretto.contexts.queue.model import (
    EVERY_QUEUE,
    Change,
    Job,
    JobPriority,
    LeaseTerms,
    Moment,
)
from stretto.contexts.queue.priority import PriorityManager
from stretto.contexts.queue.transitions import claimed
from tests.fakes.queue import FakeDatabaseClock, MemoryQueue
from tests.unit.queue.jobs import a_submission

CHUNK_S = 1.0


class Shop:
    """One worker that takes a second for each job, and writes down when it began which."""

    def __init__(self) -> None:
        self.clock = FakeDatabaseClock()
        self.queue = MemoryQueue(self.clock)
        self.began: dict[int, float] = {}
        self.came: dict[int, float] = {}
        self.turn = 0

    def add(self, number: int, priority: JobPriority) -> None:
        self.came[number] = self.clock.unix_s
        self.queue.add(a_submission(number, priority=priority))

    def work(self) -> bool:
        def take(job: Job, now: Moment) -> Change:
            return claimed(job, now, holder="w", lease=LeaseTerms().lease(now))

        looks = PriorityManager().looks(EVERY_QUEUE, turn=self.turn)
        change = self.queue.claim(looks, take=take)
        if change is None:
            return False
        self.turn += 1
        self.began[change.job.id.value.int] = self.clock.unix_s
        self.queue._jobs.pop(change.job.id)
        self.clock.advance(CHUNK_S)
        return True

    def waited(self, number: int) -> float:
        return self.began[number] - self.came[number]


def test_a_high_job_waits_for_two_chunks_at_most_and_no_low_one_starves() -> None:
    shop = Shop()
    for number in range(1000):
        shop.add(number, JobPriority.LOW)
    high = list(range(10_000, 10_050))
    for number in high:
        for _ in range(7):
            shop.work()
        shop.add(number, JobPriority.HIGH)
    while shop.work():
        pass
    assert max(shop.waited(number) for number in high) <= 2 * CHUNK_S
    assert len(shop.began) == 1050


def test_under_endless_urgent_work_a_quarter_is_for_those_who_have_waited() -> None:
    shop = Shop()
    for number in range(100):
        shop.add(number, JobPriority.LOW)
    for number in range(1000, 1500):
        shop.add(number, JobPriority.HIGH)
        shop.work()
    low = [number for number in shop.began if number < 100]
    assert len(low) == 100
    assert low == sorted(low), "the one that has waited longest comes first"


def test_the_first_turns_are_strict() -> None:
    shop = Shop()
    for number, priority in enumerate((JobPriority.LOW, JobPriority.MEDIUM, JobPriority.HIGH)):
        shop.add(number, priority)
    while shop.work():
        pass
    assert sorted(shop.began, key=lambda number: shop.began[number]) == [2, 1, 0]


def test_a_worker_takes_from_its_own_queues_alone() -> None:
    manager = PriorityManager()
    for turn in range(8):
        for look in manager.looks([JobPriority.LOW], turn=turn):
            assert look.queues == (JobPriority.LOW,)
