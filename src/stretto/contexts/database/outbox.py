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
RENEWED_AFTER_S: Final = LEASE_S / 3
ASKED_AGAIN_AFTER_S: Final = 50.0
"""So long nobody is asked again who refused an event: it takes time, and whoever looks for what was
refused does so once a minute."""

MOST_IN_ONE_RUN: Final = 5000
"""A longer backlog is for the runs after: nobody's work ends minutes late because of it."""

KEPT_FOR_S: Final = 7 * 24 * 3600.0
"""So long an event that was delivered, and who has heard of it, is remembered."""

Consumer = Callable[[OutboxEvent], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Who wants to hear of which kinds of events; ``name`` stays the same over restarts.

    What it still refuses ``patience_s`` after it happened is given up; None: it never is.
    """

    name: str
    kinds: tuple[type[DomainEvent], ...]
    consumer: Consumer
    patience_s: float | None = None


@dataclass(slots=True)
class _Run:
    """Whose receipts for which waiting events are ``known`` from the run before, and ``found`` in
    this one; the streams of which somebody refused an event, just now or a moment ago (``stuck``);
    and those that a newer program writes."""

    known: set[tuple[str, str]]
    stuck: set[tuple[str, str]]
    found: set[tuple[str, str]] = field(default_factory=set)
    leased_at: Timestamp | None = None
    over: bool = False
    unreadable: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class OutboxRelay:
    """One of them delivers at a time, whichever has the lease; the others find nothing to do.

    A consumer that raises gets the event again, in a run a minute later, and the later events of
    that stream after it; other consumers and other streams go on. After a crash an event may come
    twice: a consumer that minds remembers its id. ``due`` is set by whoever writes an event, and
    by whoever finds one that an earlier process did not live to deliver.
    """

    outbox: Outbox
    receipts: Receipts
    subscriptions: tuple[Subscription, ...]
    clock: Callable[[], Timestamp]
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    due: Event = field(default_factory=Event)
    most: int = MOST_IN_ONE_RUN
    _turn: Lock = field(default_factory=Lock)
    _receipts: set[tuple[str, str]] = field(default_factory=set)
    _refusals: dict[tuple[str, str], float] = field(default_factory=dict)

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
        """Deliver what waits now, ``most`` at most; what is refused counts for nothing, and
        hides nothing behind it. Returns how many events are done with; 0 without the lease."""
        run = _Run(known=self._receipts, stuck=self._asked_a_moment_ago())
        done, after = 0, 0
        while (room := self.most - done) > 0 and self._leased(run):
            page = self.outbox.waiting(after=after, limit=min(PAGE, room))
            if not page:
                break
            delivered = [
                event.number for event in page if self._leased(run) and self._deliver(event, run)
            ]
            self.outbox.delivered(delivered, now=self.clock())
            done += len(delivered)
            after = page[-1].number
        if run.leased_at is not None:
            self._receipts = run.found
            self.outbox.give_back(self.holder)
        if done:
            self.outbox.prune(before=Timestamp(self.clock().unix_s - KEPT_FOR_S))
        return done

    def _leased(self, run: _Run) -> bool:
        """Whether it is still this one's turn. The right is renewed now and then, as consumers may
        take their time; once it is lost, others have gone on, and this run is over."""
        now, before = self.clock(), run.leased_at
        if before is None or not 0 <= now.unix_s - before.unix_s < RENEWED_AFTER_S:
            run.over = run.over or not self.outbox.lease(self.holder, now=now, seconds=LEASE_S)
            run.leased_at = before if run.over else now
        return not run.over

    def _asked_a_moment_ago(self) -> set[tuple[str, str]]:
        now_s = self.clock().unix_s
        recent = {p: s for p, s in self._refusals.items() if 0 <= now_s - s < ASKED_AGAIN_AFTER_S}
        self._refusals = recent
        return set(recent)

    def _deliver(self, event: OutboxEvent, run: _Run) -> bool:
        """Whether everybody is done with it."""
        if event.stream in run.unreadable:
            return False
        if event.event is None:
            logger.warning("An event of the unknown kind %s waits for a newer Stretto.", event.kind)
            run.unreadable.add(event.stream)
            return False
        wanting = [one for one in self.subscriptions if isinstance(event.event, one.kinds)]
        done = [one for one in wanting if self._hand_over(event, event.event, one, run)]
        if len(done) == len(wanting):
            return True
        for subscription in done:  # these are not to hear it again
            receipt = (subscription.name, event.id)
            if receipt not in run.found:
                self.receipts.add(*receipt, now=self.clock())
                run.found.add(receipt)
        return False

    def _hand_over(
        self, event: OutboxEvent, content: DomainEvent, subscription: Subscription, run: _Run
    ) -> bool:
        """Whether that one is done with it: has heard of it, or never will."""
        place, receipt = (event.stream, subscription.name), (subscription.name, event.id)
        if place not in run.stuck:
            if receipt in run.known or self.receipts.has(*receipt):
                run.found.add(receipt)
                return True
            asked_at_s = self.clock().unix_s
            if self._told(event, subscription):
                return True
            run.stuck.add(place)
            self._refusals[place] = asked_at_s
        patience_s = subscription.patience_s
        if patience_s is None or self.clock().unix_s - content.at.unix_s <= patience_s:
            return False
        logger.warning("%s is no news any more: %s never heard it.", event.kind, subscription.name)
        return True

    def _told(self, event: OutboxEvent, subscription: Subscription) -> bool:
        try:
            subscription.consumer(event)
        except Exception:
            logger.exception("%s failed on %s; it gets it again.", subscription.name, event.kind)
            return False
        return True
