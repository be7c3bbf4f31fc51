"""When a job is tried again, and when it is given up: two budgets, one for errors and one for
crashes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.queue.model import DeathCause


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """The budgets of a job. With these defaults the waits are at most 4, 8, 16 and 32 s."""

    most_errors: int = 5
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

    def death_by_crash(self, crashes: int) -> DeathCause | None:
        return DeathCause.CRASHES if crashes >= self.config.most_crashes else None

    def delay_s(self, errors: int, *, outage: bool = False) -> float:
        """Anything from nothing to ``min(cap_s, base_s * 2 ** errors)``: those that failed
        together do not come back together (full jitter; Brooker, AWS 2015).

        In an ``outage`` half of that is waited in any case (his equal jitter), or all tries of a
        job might be over within seconds. With the defaults the four waits are 30 s at least.
        """
        bound_s = min(self.config.cap_s, self.config.base_s * 2.0**errors)
        least_s = bound_s / 2 if outage else 0.0
        return least_s + self.dice() * (bound_s - least_s)

    def crash_counted(
        self, crashes: int, since: Timestamp | None, *, now: Timestamp
    ) -> tuple[int, Timestamp]:
        """The count with one more crash, and since when it counts: old ones are forgotten."""
        if not crashes or since is None or now.unix_s - since.unix_s > self.config.crash_window_s:
            return 1, now
        return crashes + 1, since
