"""Does a transaction again that the database undid because another one was in its way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stretto.contexts.core.errors import StorageBusy

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictRetry:
    """How often a transaction is begun anew, and how long it waits before that.

    The wait before attempt n + 1 is anything from nothing to ``min(cap_s, base_s * 2 ** n)``: two
    that met once are not to meet again (full jitter). With 0.02 s and 4 attempts at most 0.28 s
    are waited in all.
    """

    attempts: int = 4
    base_s: float = 0.02
    cap_s: float = 0.5
    dice: Callable[[], float] = random.random
    sleep: Callable[[float], None] = time.sleep

    def run(self, work: Callable[[], Result], *, undone: Callable[[StorageBusy], bool]) -> Result:
        """What ``work`` answers, which must have no effect but in its transaction.

        ``undone`` tells whether an error means that this transaction left nothing behind; every
        other one, and that of the last attempt, is the caller's.
        """
        for attempt in range(1, self.attempts):
            try:
                return work()
            except StorageBusy as error:
                if not undone(error):
                    raise
            self.sleep(self.dice() * min(self.cap_s, self.base_s * 2**attempt))
        return work()
