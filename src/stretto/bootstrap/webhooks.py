"""Wires what is told to others when a job is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stretto.bootstrap.clock import now
from stretto.bootstrap.guard import guard_of
from stretto.bootstrap.queueing import clock_of

if TYPE_CHECKING:
    from stretto.bootstrap.database import Database
    from stretto.contexts.queue.webhooks import WebhookCourier
    from stretto.settings import Settings


def build_courier(settings: Settings, database: Database) -> WebhookCourier:
    """Calls what is owed, from any process that works on jobs."""
    from stretto.contexts.database.adapters.outbox import OutboxWriter
    from stretto.contexts.external.adapters.guarded_connection import GuardedConnections
    from stretto.contexts.external.adapters.guarded_http import GuardedHttp
    from stretto.contexts.queue.adapters.webhooks import SqlWebhooks
    from stretto.contexts.queue.webhooks import WebhookCourier

    records = SqlWebhooks(database, outbox=OutboxWriter(), clock=clock_of(database))
    authority = settings.remote_ca_file or None
    http = GuardedHttp(GuardedConnections(guard_of(settings), authority=authority))
    return WebhookCourier(
        records=records, post=http.post, secret=settings.webhook_secret, clock=now
    )
