"""The calls that are owed to others, as a table: a row is written with the end of its job, and
deleted with the word about what became of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from stretto.contexts.core.events import WebhookDelivered, WebhookGivenUp
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.text import storable
from stretto.contexts.queue.adapters.connections import Clock, Connection, Database, Outbox
from stretto.contexts.queue.model import Job
from stretto.contexts.queue.webhooks import HELD_FOR_S, LONGEST_DELAY_S, Webhook, body_of

SET_BACK_S: Final = LONGEST_DELAY_S + HELD_FOR_S
"""Nothing is put off for so long: what seems to be waits for a clock that was set back."""


def owe(connection: Connection, job: Job, now_s: float) -> None:
    """Write down in the transaction that ends ``job`` that its callback is to be called."""
    row = {
        "id": f"msg_{uuid.uuid4().hex}",
        "job_id": str(job.id),
        "url": job.callback,
        "body": storable(body_of(job)),
        "due_at": now_s,
    }
    connection.execute(_INSERT, row)


class SqlWebhooks:
    """Satisfies the port WebhookRecords."""

    def __init__(self, database: Database, *, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        server = database.dialect == "postgresql"
        self._take = _TAKE.format(skip="FOR UPDATE SKIP LOCKED" if server else "")

    def take(self, limit: int, *, for_s: float) -> Sequence[Webhook]:
        with self._database.read() as connection:  # nearly always there is none: no write
            now_s = self._clock.read(connection).at.unix_s
            values = {"now": now_s, "set_back": now_s + SET_BACK_S}
            if connection.execute(_ANY, values).fetchone() is None:
                return ()

        def work(connection: Connection) -> tuple[Webhook, ...]:
            now_s = self._clock.read(connection).at.unix_s
            values = {
                "now": now_s,
                "set_back": now_s + SET_BACK_S,
                "until": now_s + for_s,
                "limit": limit,
            }
            rows = connection.execute(self._take, values).fetchall()
            return tuple(
                Webhook(id=i, job_id=JobId.parse(job), url=url, body=body, attempts=attempts)
                for i, job, url, body, attempts in rows
            )

        return self._database.transact(work)

    def put_off(self, webhook: Webhook, *, delay_s: float) -> None:
        def work(connection: Connection) -> None:
            due_at = self._clock.read(connection).at.unix_s + delay_s
            row = {"id": webhook.id, "attempts": webhook.attempts, "due_at": due_at}
            connection.execute(_PUT_OFF, row)

        self._database.transact(work)

    def done(self, webhook: Webhook, *, trouble: str = "") -> None:
        def work(connection: Connection) -> None:
            if connection.execute(_DONE, {"id": webhook.id}).rowcount != 1:
                return  # another one was quicker, and has said so
            at, job_id = self._clock.read(connection).at, webhook.job_id
            event = (
                WebhookGivenUp(at=at, job_id=job_id, reason=trouble)
                if trouble
                else WebhookDelivered(at=at, job_id=job_id, attempt=webhook.attempts)
            )
            self._outbox.append(connection, str(job_id), event)

        self._database.transact(work)


_INSERT: Final = """
    INSERT INTO queue_webhook (id, job_id, url, body, attempts, due_at)
    VALUES (:id, :job_id, :url, :body, 0, :due_at)
"""
_ANY: Final = "SELECT id FROM queue_webhook WHERE due_at <= :now OR due_at > :set_back LIMIT 1"
_TAKE: Final = """
    UPDATE queue_webhook SET attempts = attempts + 1, due_at = :until
    WHERE id IN (
        SELECT id FROM queue_webhook WHERE due_at <= :now OR due_at > :set_back
        ORDER BY due_at LIMIT :limit {skip}
    )
    RETURNING id, job_id, url, body, attempts
"""
_PUT_OFF: Final = """
    UPDATE queue_webhook SET due_at = :due_at WHERE id = :id AND attempts = :attempts
"""
_DONE: Final = "DELETE FROM queue_webhook WHERE id = :id"
