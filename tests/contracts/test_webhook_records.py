"""The calls that are owed to others, as rows of either database."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.queue.adapters.webhooks import SqlWebhooks
from stretto.contexts.queue.transitions import cancelled
from stretto.contexts.queue.webhooks import LONGEST_DELAY_S, WebhookCourier
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


class Receiver:
    """Lets ``meanwhile`` happen while it is called."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.meanwhile = meanwhile
        self.called: list[str] = []

    def post(self, _: str, __: bytes, headers: Mapping[str, str]) -> None:
        self.called.append(headers["webhook-id"])
        self.meanwhile()


def test_no_call_is_made_by_two_however_slow_the_others_are(
    queue: Queue, records: SqlWebhooks
) -> None:
    for number in range(1, 7):
        owe(queue, number)

    def courier(receiver: Receiver) -> WebhookCourier:
        return WebhookCourier(
            records=records, post=receiver.post, secret="QUJD", clock=lambda: Timestamp(1.0)
        )

    def a_slow_answer() -> None:
        queue.clock.advance(15.0)
        other.deliver()

    quick, slow = Receiver(), Receiver(a_slow_answer)
    other = courier(quick)
    courier(slow).deliver()
    called = quick.called + slow.called
    assert len(called) == len(set(called)) == 6
