"""Single flight: what several want at the same time is computed once, here and elsewhere."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.caching.model import CacheKey
from stretto.contexts.caching.ports import Cancel, Leases
from stretto.contexts.core.recognition import Recognition

LEASE_S: Final = 4.0
"""So long after the death of whoever computes somebody else takes over."""

PATIENCE_S: Final = 900.0
"""Whoever waited so long computes for himself: nobody waits for ever."""

POLL_S: Final = 0.05
LONGEST_POLL_S: Final = 0.25

logger = logging.getLogger(__name__)

Work = Callable[[], Recognition]


@dataclass(slots=True)
class _Flight:
    """One computation of this process and those who wait for it."""

    epoch: int
    landed: threading.Event = field(default_factory=threading.Event)
    answer: Recognition | None = None


class SingleFlight:
    """In a process the first one leads and the others wait for it; of several processes that one
    leads which has the lease. Whoever leads prolongs its lease for as long as it computes."""

    def __init__(
        self,
        leases: Leases,
        *,
        lease_s: float = LEASE_S,
        patience_s: float = PATIENCE_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._lease_s = lease_s
        self._patience_s = patience_s
        self._monotonic_s = monotonic_s
        self._flights: dict[CacheKey, _Flight] = {}
        self._lock = threading.Lock()

    def run(
        self,
        key: CacheKey,
        *,
        work: Work,
        known: Callable[[], Recognition | None],
        epoch: Callable[[], int],
        valid_since: Callable[[int], bool],
        cancel: Cancel,
    ) -> Recognition:
        """The answer of ``work``, or of somebody else's.

        ``known`` looks whether the answer is there by now. An answer that was computed here is
        shared with those who waited unless it has gaps, or ``valid_since`` says of the ``epoch``
        it began in that it is not good any more; one of them then takes over, as when the leader
        fails. Raises Cancelled, and what ``work`` raises.
        """
        deadline_s = self._monotonic_s() + self._patience_s
        while self._monotonic_s() < deadline_s:
            flight, leading = self._join(key, epoch)
            if leading:
                with self._landing(key, flight):
                    answer = self._lead(key, work, known, cancel, deadline_s)
                    flight.answer = None if answer.gaps else answer
                    return answer
            while not flight.landed.wait(POLL_S):
                cancel.raise_if_cancelled()
                if self._monotonic_s() >= deadline_s:
                    break
            if flight.answer is not None and valid_since(flight.epoch):
                return flight.answer
        logger.warning("Nobody finished %s in %g s; it is computed here.", key, self._patience_s)
        return work()

    def _join(self, key: CacheKey, epoch: Callable[[], int]) -> tuple[_Flight, bool]:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            self._flights[key] = flight = _Flight(epoch())
            return flight, True

    @contextmanager
    def _landing(self, key: CacheKey, flight: _Flight) -> Generator[None, None, None]:
        try:
            yield
        finally:
            with self._lock:
                del self._flights[key]
            flight.landed.set()

    def _lead(
        self,
        key: CacheKey,
        work: Work,
        known: Callable[[], Recognition | None],
        cancel: Cancel,
        deadline_s: float,
    ) -> Recognition:
        holder, pause_s = uuid.uuid4().hex, POLL_S
        while not self._take(key, holder):
            if (answer := known()) is not None:
                return answer
            if self._monotonic_s() >= deadline_s:
                return work()
            cancel.wait(pause_s)
            cancel.raise_if_cancelled()
            pause_s = min(LONGEST_POLL_S, 1.5 * pause_s)
        with self._holding(key, holder):
            # Somebody may have finished between our look into the cache and our lease.
            answer = known()
            return work() if answer is None else answer

    def _take(self, key: CacheKey, holder: str) -> bool:
        try:
            return self._leases.take(key, holder, seconds=self._lease_s)
        except Exception as error:  # at worst two compute the same
            logger.info("No lease could be had for %s; it is computed anyway. %s", key, error)
            return True

    @contextmanager
    def _holding(self, key: CacheKey, holder: str) -> Generator[None, None, None]:
        over = threading.Event()

        def prolong() -> None:
            while not over.wait(self._lease_s / 3):
                self._take(key, holder)

        keeper = threading.Thread(target=prolong, name="cache lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()  # what it writes must not come after the release
            try:
                self._leases.release(key, holder)
            except Exception as error:
                logger.info("The lease of %s ends by itself. %s", key, error)
