"""The setting of the fleet: the broker that wakes Celery's workers."""

from __future__ import annotations

import re
from typing import Final

from stretto.settings_values import text

BROKER: Final = re.compile(r"(rediss?|amqps?|pyamqp)://[^\s/]+(/\S*)?\Z")


def is_broker(url: str) -> bool:
    return not url or (url.isascii() and url.isprintable() and bool(BROKER.match(url)))


BROKER_URL: str = text(
    "The broker that wakes the workers of a Celery fleet; empty means none. See "
    "[A fleet](../howto/fleet.md).",
    allowed="empty, redis://user:password@host:6379/1 or amqp://user:password@host:5672/name (also "
    "rediss:// and amqps://)",
    check=is_broker,
    secret=True,
)
