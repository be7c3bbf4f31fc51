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
        self._subscribers: dict[type[DomainEvent], dict[object, Callable[[Any], None]]] = (
            defaultdict(dict)
        )
        self._lock = Lock()

    def subscribe(
        self, kind: type[Event], subscriber: Callable[[Event], None]
    ) -> Callable[[], None]:
        """Returns a function that ends the subscription; calling it twice is harmless."""
        ticket = object()  # the same function may subscribe twice
        with self._lock:
            self._subscribers[kind][ticket] = subscriber

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers[kind].pop(ticket, None)

        return unsubscribe

    def publish(self, event: DomainEvent) -> None:
        """Never raises: trouble with a subscriber is logged and the others still hear the event."""
        with self._lock:
            kinds = [self._subscribers[k] for k in type(event).__mro__ if k in self._subscribers]
            heard_by = [subscriber for kind in kinds for subscriber in kind.values()]
        for subscriber in heard_by:
            try:
                subscriber(event)
            except Exception:
                logger.exception(
                    "A subscriber failed on %s; the others go on.", type(event).__name__
                )
