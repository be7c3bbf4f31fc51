"""Wires the broker: whoever changes a job calls a worker through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from stretto.contexts.core.errors import BrokerUnavailable
from stretto.contexts.queue.model import JobPriority
from stretto.contexts.queue.summons import Summons

if TYPE_CHECKING:
    from stretto.contexts.core.identifiers import JobId
    from stretto.contexts.queue.ports import Messages
    from stretto.settings import Settings

MISSING: Final = (
    "A broker is set, but the package for it is missing. Install it: pip install 'stretto[celery]'"
)


def summons_of(settings: Settings) -> Summons | None:
    """Who calls workers for jobs; None without a broker."""
    return Summons(messages=LaterMessages(settings.broker_url)) if settings.broker_url else None


def look_at_broker(settings: Settings) -> Callable[[], str] | None:
    """Says what waits at the broker, or raises BrokerUnavailable; None without a broker."""
    if not settings.broker_url:
        return None

    def look() -> str:
        messages = LaterMessages(settings.broker_url)
        try:
            waiting = sum(messages.count(priority) for priority in JobPriority)
            return f"{messages.place}, messages waiting: {waiting}"
        finally:
            messages.close()

    return look


class LaterMessages:
    """The port Messages for those who may send none: Celery is imported with the first one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: Messages | None = None

    def made(self) -> Messages:
        """Raises BrokerUnavailable when the package is missing."""
        if self._made is None:
            try:
                from stretto.contexts.queue.adapters.celery_broker import CeleryMessages
            except ImportError as cause:
                raise BrokerUnavailable(MISSING) from cause
            self._made = CeleryMessages(self._url)
        return self._made

    @property
    def place(self) -> str:
        return self.made().place

    def send(self, job_id: JobId, priority: JobPriority) -> None:
        self.made().send(job_id, priority)

    def count(self, priority: JobPriority) -> int:
        return self.made().count(priority)

    def close(self) -> None:
        if self._made is not None:
            self._made.close()
