"""The calls that are owed to others, as rows of either database."""

from __future__ import annotations

import pytest

from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.queue.adapters.webhooks import SqlWebhooks
from stretto.contexts.queue.transitions import cancelled
from stretto.contexts.queue.webhooks import LONGEST_DELAY_S
from tests.queues import Queue, queue_on
from tests.servers import Database
from tests.unit.queue.jobs import a_submission, job_id


@pytest.fixture
def queue(database: Database) -> Queue:
    return queue_on(database)


@pytest.fixture
def records(database: Database, queue: Queue) -> SqlWebhooks:
    return SqlWebhooks(database, outbox=OutboxWriter(), clock=queue.clock)


def owe(queue: Queue, number: int) -> None:
    queue.jobs.add(a_submission(number, callback="https://e.org/"))
    queue.jobs.change(job_id(number), cancelled)


def test_no_call_waits_for_a_clock_that_was_set_back(queue: Queue, records: SqlWebhooks) -> None:
    owe(queue, 1)
    (webhook,) = records.take(1, for_s=60.0)
    records.put_off(webhook, delay_s=LONGEST_DELAY_S)
    assert records.take(1, for_s=60.0) == (), "it is not due"
    queue.clock.advance(-7200.0)
    (again,) = records.take(1, for_s=60.0)
    assert again.id == webhook.id
    assert records.take(1, for_s=60.0) == (), "it is being made"
