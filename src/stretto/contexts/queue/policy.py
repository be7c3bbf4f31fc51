"""When a job is tried again, and when it is given up: a budget for errors, one for outages of a
service, and one for crashes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.queue.model import DeathCause


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """The budgets of a job. With these defaults the waits after errors are at most 4, 8, 16 and
    32 s, and those of an outage last for 34 to 68 minutes in all."""

    most_errors: int = 5
    most_outages: int = 20
    base_s: float = 2.0
    cap_s: float = 300.0
    most_crashes: int = 3
    crash_window_s: float = 72 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Decides by the counters of a job alone."""

    config: RetryConfig = RetryConfig()
    dice: Callable[[], float] = random.random

    def death_by_error(self, errors: int, *, retryable: bool) -> DeathCause | None:
        """Why a job with so many errors, the last one included, is not tried again."""
        if not retryable:
            return DeathCause.REFUSED
        return DeathCause.ERRORS if errors >= self.config.most_errors else None

    def death_by_outage(self, outages: int) -> DeathCause | None:
        """Why a job that met a service in trouble so often, now included, waits for it no more."""
        return DeathCause.ERRORS if outages >= self.config.most_outages else None

    def death_by_crash(self, crashes: int) -> DeathCause | None:
        return DeathCause.CRASHES if crashes >= self.config.most_crashes else None

    def delay_s(self, errors: int) -> float:
        """Anything from nothing to ``min(cap_s, base_s * 2 ** errors)``: those that failed
        together do not come back together (full jitter; Brooker, AWS 2015)."""
        return self.dice() * self._bound_s(errors)

    def outage_delay_s(self, outages: int) -> float:
        """From half of that to all of it (his equal jitter), so that nobody's tries are over while
        the service has hardly begun to be away."""
        return (1.0 + self.dice()) / 2 * self._bound_s(outages)

    def _bound_s(self, tries: int) -> float:
        return min(self.config.cap_s, self.config.base_s * 2.0**tries)

    def crash_counted(
        self, crashes: int, since: Timestamp | None, *, now: Timestamp
    ) -> tuple[int, Timestamp]:
        """The count with one more crash, and since when it counts: old ones are forgotten."""
        if not crashes or since is None or now.unix_s - since.unix_s > self.config.crash_window_s:
            return 1, now
        return crashes + 1, since
