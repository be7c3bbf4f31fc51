"""What is worth asking again, when, and how often: for one call, and for all of them together."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Final

WORTH_A_RETRY: Final = frozenset({408, 409, 425, 429, *range(500, 600)}) - {501, 505, 511}
"""Too early, too much, or the service's own trouble. Everything else would be the same again."""

LONGEST_CLOSED_S: Final = 3600.0
"""Nobody is believed who says to come back later than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """``attempts`` is the first try and those after it; delays are full jitter (Brooker 2015):
    anything from 0 to ``first_delay_s`` doubled for each attempt, ``longest_delay_s`` at most."""

    attempts: int = 3
    first_delay_s: float = 0.5
    longest_delay_s: float = 8.0

    def delay_s(self, attempt: int, *, uniform: Callable[[float, float], float]) -> float:
        """Before the attempt after ``attempt``, which counts from 1."""
        most = min(self.longest_delay_s, self.first_delay_s * 2.0 ** (attempt - 1))
        return uniform(0.0, most)


class RetryBudget:
    """Lets retries be a fifth of the first tries, and three besides: a service in trouble gets
    1.2 times the usual load, not three times (Google, Site Reliability Engineering, chapter 21).
    """

    def __init__(self, *, share: float = 0.2, floor: float = 3.0, most: float = 20.0) -> None:
        self._share = share
        self._most = most
        self._left = floor
        self._lock = Lock()

    def tried_first(self) -> None:
        with self._lock:
            self._left = min(self._most, self._left + self._share)

    def spend(self) -> bool:
        """Whether one more retry can be afforded; it is paid for then."""
        with self._lock:
            if self._left < 1.0:
                return False
            self._left -= 1.0
            return True


def is_worth_a_retry(status: int, headers: Mapping[str, str]) -> bool:
    """The service may know better (``x-should-retry``, as OpenAI's clients read it)."""
    said = headers.get("x-should-retry", "").strip().lower()
    if said in {"true", "false"}:
        return said == "true"
    return status in WORTH_A_RETRY


def retry_after_s(headers: Mapping[str, str], *, now_unix_s: float) -> float | None:
    """Seconds from now that the service wants to be left alone; None when it does not say, or
    nothing that can be understood (RFC 9110, section 10.2.3).

    Example: ``Retry-After: 30`` is 30.0; a date that has passed is 0.0; ``-1`` and ``soon`` are
    None. More than an hour is taken for an hour.
    """
    for name, per_s in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if text.isascii() and text.replace(".", "", 1).isdecimal():
            return min(float(text) / per_s, LONGEST_CLOSED_S)
    seconds = _until_date(headers.get("retry-after", ""), now_unix_s)
    return None if seconds is None else min(max(0.0, seconds), LONGEST_CLOSED_S)


def _until_date(text: str, now_unix_s: float) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (aware - datetime.fromtimestamp(now_unix_s, UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def not_early_s(seconds: float, *, uniform: Callable[[float, float], float]) -> float:
    """The time to wait when told to wait ``seconds``: never less, and spread over a tenth more, but
    a second at least, so that those who were sent away together do not come back together."""
    return seconds + uniform(0.0, max(1.0, seconds / 10))


def jitter() -> Callable[[float, float], float]:
    return random.SystemRandom().uniform
