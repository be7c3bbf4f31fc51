"""Delivers what was committed: at least once, in order for each job and transcript."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Final

from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.model import OutboxEvent
from stretto.contexts.database.ports import Outbox, Receipts

PAGE: Final = 200
LEASE_S: Final = 30.0
MOST_IN_ONE_RUN: Final = 5000
"""A longer backlog is for the runs after: nobody's work ends minutes late because of it."""

KEPT_FOR_S: Final = 7 * 24 * 3600.0
"""So long an event that was delivered, and who has heard of it, is remembered."""

Consumer = Callable[[OutboxEvent], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Who wants to hear of which kinds of events; ``name`` stays the same over restarts."""

    name: str
    kinds: tuple[type[DomainEvent], ...]
    consumer: Consumer


@dataclass(slots=True, kw_only=True)
class OutboxRelay:
    """One of them delivers at a time, whichever has the lease; the others find nothing to do.

    A consumer that raises gets the event again in the next run, and the later events of that
    stream wait for it; other streams go on. After a crash an event may come twice: a consumer
    that minds remembers its id. ``due`` is set by whoever writes an event, and by whoever finds
    one that an earlier process did not live to deliver.
    """

    outbox: Outbox
    receipts: Receipts
    subscriptions: tuple[Subscription, ...]
    clock: Callable[[], Timestamp]
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    due: Event = field(default_factory=Event)
    most: int = MOST_IN_ONE_RUN
    _turn: Lock = field(default_factory=Lock)

    def run_if_due(self) -> int:
        """As ``run_once``; without a single statement when no event may wait."""
        with self._turn:  # threads of one process have the same lease
            if not self.due.is_set():
                return 0
            self.due.clear()
            try:
                return self.run_once()
            except BaseException:
                self.due.set()
                raise

    def run_once(self) -> int:
        """Deliver what waits now, ``most`` at most. Returns how many events are done with; 0
        without the lease."""
        done, seen, after = 0, 0, 0
        stuck: set[str] = set()
        held = False
        while (room := self.most - seen) > 0 and self._leased():
            held = True
            page = self.outbox.waiting(after=after, limit=min(PAGE, room))
            if not page:
                break
            delivered = [event.number for event in page if self._deliver(event, stuck)]
            self.outbox.delivered(delivered, now=self.clock())
            done += len(delivered)
            seen += len(page)
            after = page[-1].number
        if held:
            self.outbox.give_back(self.holder)
        if done:
            self.outbox.prune(before=Timestamp(self.clock().unix_s - KEPT_FOR_S))
        return done

    def _leased(self) -> bool:
        return self.outbox.lease(self.holder, now=self.clock(), seconds=LEASE_S)

    def _deliver(self, event: OutboxEvent, stuck: set[str]) -> bool:
        """Whether everybody has heard of it; otherwise its stream is stuck for this run."""
        if event.stream in stuck:
            return False
        if event.event is None:
            logger.warning("An event of the unknown kind %s waits for a newer Stretto.", event.kind)
            stuck.add(event.stream)
            return False
        wanting = [s for s in self.subscriptions if isinstance(event.event, s.kinds)]
        refused = [s for s in wanting if not self._hand_over(event, s)]
        if not refused:
            return True
        for subscription in wanting:
            if subscription not in refused:  # these are not to hear it again
                self.receipts.add(subscription.name, event.id, now=self.clock())
        stuck.add(event.stream)
        return False

    def _hand_over(self, event: OutboxEvent, subscription: Subscription) -> bool:
        if self.receipts.has(subscription.name, event.id):
            return True
        try:
            subscription.consumer(event)
        except Exception:
            logger.exception("%s failed on %s; it gets it again.", subscription.name, event.kind)
            return False
        return True
