"""How the queue is doing, in numbers, on both databases."""

from __future__ import annotations

from typing import Any, cast

from stretto.contexts.queue.adapters.statistics import SqlQueueStatistics
from stretto.contexts.queue.model import JobPriority, LeaseTerms
from stretto.contexts.queue.transitions import cancelled
from tests.contracts.test_queue import a_node
from tests.queues import queue_on
from tests.servers import Database
from tests.unit.queue.jobs import a_submission


def test_what_waits_and_what_runs_is_counted_and_what_is_over_is_not(database: Database) -> None:
    queue = queue_on(database)
    statistics = SqlQueueStatistics(cast("Any", database), clock=queue.clock)
    empty = statistics.now()
    assert (sum(empty.depth.values()), empty.running, empty.dead, empty.workers) == (0, 0, 0, 0)
    jobs = [queue.jobs.add(a_submission(number)).job for number in range(1, 5)]
    queue.jobs.change(jobs[0].id, cancelled)
    queue.clock.advance(30)
    queue.claim()
    found = statistics.now()
    assert sum(found.depth.values()) == 2
    assert found.running == 1
    assert max(found.oldest_s.values()) == 30
    assert found.depth[JobPriority.HIGH] == 0
    assert found.oldest_s[JobPriority.HIGH] == 0


def test_a_worker_counts_as_long_as_it_gives_signs_of_life(database: Database) -> None:
    queue = queue_on(database)
    statistics = SqlQueueStatistics(cast("Any", database), clock=queue.clock)
    queue.workers.beat(a_node("a"), LeaseTerms().lease)
    assert statistics.now().workers == 1
    queue.clock.advance(31)
    assert statistics.now().workers == 0
