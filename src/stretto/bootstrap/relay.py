"""Who acts on committed events, and when they are told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Final

from stretto.bootstrap.clock import now
from stretto.bootstrap.database import Database
from stretto.bootstrap.later import LaterCache
from stretto.bootstrap.watching import ways_of_telling
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.events import (
    AlertResolved,
    AlertsChanged,
    AlertTriggered,
    FileProcessingCompleted,
    JobCancelled,
    JobCompleted,
    JobFailed,
    TranscriptDeleted,
)
from stretto.contexts.database.adapters.outbox import SqlOutbox
from stretto.contexts.database.model import OutboxEvent
from stretto.contexts.database.outbox import Consumer, OutboxRelay, Subscription
from stretto.settings import Settings

DELIVERED_AFTER: Final = (
    *(FileProcessingCompleted, JobCompleted, JobFailed, JobCancelled),
    *(AlertTriggered, AlertResolved),
)
"""When these are published, what was written with them to the outbox is committed."""

NEWS_S: Final = 3 * 24 * 3600.0
"""So long people who cannot be reached are told of an alert again and again."""

logger = logging.getLogger(__name__)

Forget = Callable[[TranscriptDeleted], None]


def build_relay(
    settings: Settings, database: Database, caching: LaterCache, due: Event
) -> OutboxRelay:
    """Delivers committed events to the parts of the program that have to act on them."""
    outbox = SqlOutbox(database)
    deleted = [
        Subscription(name=name, kinds=(TranscriptDeleted,), consumer=_of_deleted(forget))
        for name, forget in what_forgets(settings, database, caching).items()
    ]
    alerts = [
        Subscription(
            name=f"alerts by {way}",
            kinds=(AlertsChanged,),
            consumer=_telling(settings, way),
            patience_s=NEWS_S,
        )
        for way in ways_of_telling(settings)
    ]
    return OutboxRelay(
        outbox=outbox,
        receipts=outbox,
        subscriptions=(*deleted, *alerts),
        clock=now,
        due=due,
    )


class RelayThread:
    """Delivers in the background what was written, as soon as it is told of it: whoever works,
    watches or gives signs of life does not wait for those who do not listen."""

    def __init__(self, relay: OutboxRelay) -> None:
        self.relay = relay
        self._woken, self._ended, self._lock = Event(), Event(), Lock()
        self._thread: Thread | None = None

    def deliver(self) -> int:
        """At once what was committed. Raises StorageUnavailable."""
        self.relay.due.set()  # a run may have begun just before the commit, and found nothing
        return self.relay.run_if_due()

    def follow(self, events: EventBus) -> None:
        """Deliver when work ends, and when there is something to tell people."""

        def deliver_soon(_: object) -> None:
            self.relay.due.set()
            self.wake()

        for kind in DELIVERED_AFTER:
            events.subscribe(kind, deliver_soon)

    def wake(self) -> None:
        """Something may have been committed; if not, nothing is begun."""
        with self._lock:
            if not self.relay.due.is_set() or self._ended.is_set():
                return
            if self._thread is None:
                self._thread = Thread(target=self._run, name="relay", daemon=True)
                self._thread.start()
        self._woken.set()

    def close(self) -> None:
        """Deliver what is left; after that it does nothing any more."""
        with self._lock:
            self._ended.set()
            thread = self._thread
        if thread is not None:
            self._woken.set()
            thread.join()
            self.relay.due.set()  # it may have looked just before the last change was committed
        deliver(self.relay)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._woken.wait()
            self._woken.clear()
            if not self._ended.is_set():
                deliver(self.relay)


def deliver(relay: OutboxRelay) -> None:
    """What was written, if anything was. The work is done: trouble here is no trouble with it."""
    try:
        relay.run_if_due()
    except StrettoError as error:
        logger.info("Events wait in the outbox for the next start. %s", error)
    except Exception:
        logger.exception("Events wait in the outbox for the next start.")


def what_forgets(settings: Settings, database: Database, caching: LaterCache) -> dict[str, Forget]:
    """The parts that keep something of a transcript, each with what it does when that is deleted.

    Names stand in the database, where it says what each was told.
    """

    def answers(deleted: TranscriptDeleted) -> None:
        if deleted.last_of_file:
            from stretto.contexts.caching.model import Selection

            caching.management().invalidate(Selection(source=deleted.file_hash))

    def assets(deleted: TranscriptDeleted) -> None:
        from stretto.bootstrap.cdn import purge_published

        purge_published(settings, database, deleted.transcript_id)

    def jobs(deleted: TranscriptDeleted) -> None:
        from stretto.bootstrap.queueing import jobs_of

        jobs_of(database).delete_of(deleted.transcript_id)

    def recordings(deleted: TranscriptDeleted) -> None:
        if settings.recordings_path.exists():  # elsewhere the server finds out when it tidies up
            from stretto.bootstrap.recordings import keeper_of

            keeper_of(settings, database).forget_of(deleted.owner, deleted.file_hash)

    return {"cache": answers, "cdn": assets, "queue": jobs, "recordings": recordings}


def _of_deleted(forget: Forget) -> Consumer:
    def consume(event: OutboxEvent) -> None:
        if isinstance(event.event, TranscriptDeleted):
            forget(event.event)

    return consume


def _telling(settings: Settings, way: str) -> Consumer:
    def tell(event: OutboxEvent) -> None:
        from stretto.bootstrap.monitoring import notify

        notify(settings, way, event)

    return tell
