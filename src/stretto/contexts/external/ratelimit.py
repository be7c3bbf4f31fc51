"""Lets calls start as fast as the service allows, in turn between those who want to call."""

from __future__ import annotations

import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition

from stretto.contexts.core.errors import Cancelled
from stretto.contexts.external.pace import (
    WINDOW_S,
    Pace,
    RateLimit,
    given_back,
    refused,
    started,
    succeeded,
    wait_s,
)
from stretto.contexts.external.ports import Cancellation, PaceStore

SECONDS_BETWEEN_LOOKS = 0.2
"""A cancel is noticed so soon; a place that becomes free here wakes those who wait at once."""


_Line = tuple[str, str]
"""Of calls of the same tenant for the same recording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """The right to make one call; give it back."""

    name: str
    asked_at: float


class TurnPassed(Exception):
    """The time was over before the call could start."""


class RateLimitHandler:
    """One for each service and process; ``store`` may be shared with other processes.

    Tenants take turns, and so do the recordings of a tenant: whoever has had the fewest seconds of
    audio comes first, counted from when it began to wait (Goyal, Vin, Cheng 1996). The calls of a
    recording are served in the order of their arrival.
    """

    def __init__(self, limit: RateLimit, *, store: PaceStore, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._store = store
        self._clock = clock
        self._turns: dict[_Line, deque[object]] = defaultdict(deque)
        self._served_s: dict[str | _Line, float] = {}
        self._changed = Condition()

    @property
    def limit(self) -> RateLimit:
        return self._limit

    def enter(
        self,
        *,
        audio_s: float,
        tenant: str,
        until: float,
        cancel: Cancellation,
        recording: str = "",
    ) -> Permit:
        """Waits for its turn and for room. Raises Cancelled, and TurnPassed at ``until``."""
        ticket, line = object(), (tenant, recording)
        with self._changed:
            self._line_up(line, ticket)
            try:
                while True:
                    if cancel.cancelled:
                        raise Cancelled
                    left_s = until - self._clock()
                    if left_s <= 0:
                        raise TurnPassed
                    wait = SECONDS_BETWEEN_LOOKS
                    if self._next() is ticket:
                        permit, wait = self._try(audio_s)
                        if permit is not None:
                            for one in (tenant, line):
                                self._served_s[one] += max(audio_s, 1.0)
                            return permit
                    self._changed.wait(min(wait, left_s, SECONDS_BETWEEN_LOOKS))
            finally:
                self._leave(line, ticket)

    def leave(self, permit: Permit) -> None:
        self._store.change(lambda pace, _: given_back(pace, permit.name))
        with self._changed:
            self._changed.notify_all()

    def succeeded(self, permit: Permit) -> None:
        self._store.change(lambda pace, _: succeeded(pace, self._limit))

    def refused(self, permit: Permit, *, closed_s: float) -> None:
        """The service said that it was too much, and for how long it does not want to be asked."""
        self._store.change(
            lambda pace, now: refused(
                pace, self._limit, asked_at=permit.asked_at, closed_s=closed_s, now=now
            )
        )

    def told_to_slow_down(self) -> bool:
        """Whether the service has refused a call for its rate in the last minute."""
        lately = False

        def look(pace: Pace, now: float) -> Pace:
            nonlocal lately
            refused_at = max(pace.learned_at, pace.closed_until)
            lately = bool(refused_at) and now - refused_at < WINDOW_S
            return pace

        self._store.change(look)
        return lately

    def _try(self, audio_s: float) -> tuple[Permit | None, float]:
        name = uuid.uuid4().hex
        asked_at = wait = 0.0

        def step(pace: Pace, now: float) -> Pace:
            nonlocal wait, asked_at
            asked_at, wait = now, wait_s(pace, self._limit, audio_s, now)
            return pace if wait > 0 else started(pace, name, audio_s, now)

        self._store.change(step)
        return (None, wait) if wait > 0 else (Permit(name=name, asked_at=asked_at), 0.0)

    def _line_up(self, line: _Line, ticket: object) -> None:
        """Whoever begins to wait has no claim to what others had meanwhile."""
        waiting, tenant = self._waiting(), line[0]
        if line not in waiting:
            beside = [one for one in waiting if one[0] == tenant]
            self._begin(line, beside)
            if not beside:
                self._begin(tenant, [one[0] for one in waiting])
        self._turns[line].append(ticket)

    def _begin(self, who: str | _Line, beside: Sequence[str | _Line]) -> None:
        since = min((self._served_s[one] for one in beside), default=0.0)
        self._served_s[who] = max(self._served_s.get(who, 0.0), since)

    def _waiting(self) -> list[_Line]:
        return [line for line, tickets in self._turns.items() if tickets]

    def _next(self) -> object:
        served_s = self._served_s
        line = min(self._waiting(), key=lambda line: (served_s[line[0]], served_s[line]))
        return self._turns[line][0]

    def _leave(self, line: _Line, ticket: object) -> None:
        self._turns[line].remove(ticket)
        if not any(self._turns.values()):
            self._served_s.clear()  # with nobody waiting all begin anew
            self._turns.clear()
        self._changed.notify_all()
