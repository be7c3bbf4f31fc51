"""The circuit breaker: a service that fails again and again is left alone for a while."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from threading import Condition
from typing import Final

FAILURES_TO_OPEN: Final = 5
SECONDS_OPEN: Final = 5.0


class Admission(StrEnum):
    """What a breaker says to somebody who wants to make a call."""

    ADMITTED = "admitted"
    PROBED_FOR = "somebody is asking the service just now"
    TURNED_AWAY = "turned away"


class CircuitBreaker:
    """Opens after five failures in a row, each begun after the one before; then one call every five
    seconds is let through to see (the probe), and the first that succeeds closes it (Nygard,
    Release It!, 2007)."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        failures: int = FAILURES_TO_OPEN,
        seconds_open: float = SECONDS_OPEN,
    ) -> None:
        self._clock = clock
        self._most = failures
        self._seconds_open = seconds_open
        self._failures = 0
        self._failed_at = -math.inf
        self._opened_at: float | None = None
        self._probing = False
        self._changed = Condition()

    @property
    def open(self) -> bool:
        return self._opened_at is not None

    def admission(self, *, wait_s: float = 0.0) -> Admission:
        """Whether a call may be made. Whoever asks and is admitted has to tell how it went. While a
        probe is on its way, what it says is waited for, as long as ``wait_s``."""
        with self._changed:
            if self._probing:
                self._changed.wait_for(lambda: not self._probing, wait_s)
            if self._opened_at is None:
                return Admission.ADMITTED
            if self._probing:
                return Admission.PROBED_FOR
            if self._clock() < self._opened_at + self._seconds_open:
                return Admission.TURNED_AWAY
            self._probing = True
            return Admission.ADMITTED

    def succeeded(self) -> None:
        with self._changed:
            self._failures, self._opened_at, self._probing = 0, None, False
            self._changed.notify_all()

    def failed(self, *, began: float | None = None) -> None:
        """``began`` is when the call was sent. Calls that were all on their way when one failed are
        one failure: a connection that breaks with eight of them is no service in trouble."""
        with self._changed:
            if began is not None and began < self._failed_at:
                return
            self._failures += 1
            self._failed_at = self._clock()
            self._probing = False
            if self._opened_at is not None or self._failures >= self._most:
                self._opened_at = self._clock()
            self._changed.notify_all()

    def abandoned(self) -> None:
        """The call was given up by its caller: nothing was learned of the service."""
        with self._changed:
            self._probing = False
            self._changed.notify_all()
