"""The event bus: synchronous and in order; a failing subscriber is logged and isolated."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

from stretto.contexts.core.events import DomainEvent

Event = TypeVar("Event", bound=DomainEvent)
Publish = Callable[[DomainEvent], None]

logger = logging.getLogger(__name__)


class EventBus:
    """Delivers each event to those who subscribed to its class or to a base class of it.

    Publishing may happen on any thread; subscribers run on the publisher's thread.
    """

    def __init__(self) -> None:
        self._subscribers: dict[type[DomainEvent], list[Callable[[Any], None]]] = defaultdict(list)
        self._lock = Lock()

    def subscribe(
        self, kind: type[Event], subscriber: Callable[[Event], None]
    ) -> Callable[[], None]:
        """Returns a function that ends the subscription; calling it twice is harmless."""
        with self._lock:
            self._subscribers[kind].append(subscriber)

        def unsubscribe() -> None:
            with self._lock:
                if subscriber in self._subscribers[kind]:
                    self._subscribers[kind].remove(subscriber)

        return unsubscribe

    def publish(self, event: DomainEvent) -> None:
        """Never raises: trouble with a subscriber is logged and the others still hear the event."""
        with self._lock:
            heard_by = [s for kind in type(event).__mro__ for s in self._subscribers.get(kind, ())]
        for subscriber in heard_by:
            try:
                subscriber(event)
            except Exception:
                logger.exception(
                    "A subscriber failed on %s; the others go on.", type(event).__name__
                )
