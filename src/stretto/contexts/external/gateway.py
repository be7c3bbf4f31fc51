"""The gateway: one call to a service, made as fast as allowed and as often as it is worth it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from stretto.contexts.core.errors import (
    Cancelled,
    EngineFailure,
    EngineUnavailable,
    TransientEngineFailure,
    UnusableAnswer,
)
from stretto.contexts.external.breaker import Admission, CircuitBreaker
from stretto.contexts.external.model import (
    APIRequest,
    APIResponse,
    CallFailed,
    Phase,
    Timeouts,
)
from stretto.contexts.external.parser import error_message
from stretto.contexts.external.ports import Cancellation, Observer, Transport, Unobserved
from stretto.contexts.external.ratelimit import Permit, RateLimitHandler, TurnPassed
from stretto.contexts.external.retrying import (
    RetryBudget,
    RetryPolicy,
    is_worth_a_retry,
    jitter,
    not_early_s,
    retry_after_s,
)

Answer = TypeVar("Answer")

TOO_MANY: Final = 429
NOT_LET_IN: Final = frozenset({401, 403})
MOST_UNSEEN: Final = 3
"""So often a request is sent again, besides its attempts, that the service had not looked at: no
work was done, none is repeated."""

LONGEST_UNSEEN_DELAY_S: Final = 0.05
SLICE_S: Final = 0.1
"""So soon somebody who waits for a probe sees that nobody wants the answer any more."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """Why an attempt came to nothing. ``wait_s`` is what the service wants to be left alone;
    ``of_service`` says that the service is at fault, and not this request or its rate; ``unseen``
    that it was reached and did not look at the request, as when it restarts (GOAWAY)."""

    error: EngineFailure | EngineUnavailable
    again: bool
    wait_s: float = 0.0
    of_service: bool = True
    unseen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One for each service; safe to call from many threads at once. ``clock`` is monotonic,
    ``deadline_s`` the time for one call with all its attempts and pauses."""

    name: str
    transport: Transport
    limits: RateLimitHandler
    breaker: CircuitBreaker
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    budget: RetryBudget = field(default_factory=RetryBudget)
    deadline_s: float = 900.0
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    uniform: Callable[[float, float], float] = field(default_factory=jitter)
    observer: Observer = field(default_factory=Unobserved)

    def call(
        self,
        request: APIRequest,
        *,
        read: Callable[[APIResponse], Answer],
        audio_s: float,
        cancel: Cancellation,
        tenant: str = "",
        recording: str = "",
    ) -> Answer:
        """``read`` makes something of a successful answer, or raises UnusableAnswer. Where calls
        have to wait, tenants take turns, and the recordings of a tenant.

        Raises Cancelled; EngineUnavailable when the service does not let us in; EngineFailure when
        it was asked in vain, a TransientEngineFailure when later may be better.
        """
        until = self.clock() + self.deadline_s
        enter = partial(
            self.limits.enter,
            audio_s=audio_s,
            tenant=tenant,
            recording=recording,
            until=until,
            cancel=cancel,
        )
        self.budget.tried_first()
        attempt, unseen = 1, 0
        while True:
            self._check_breaker(until, cancel)
            result = self._attempt(request, read, enter, until, cancel)
            if not isinstance(result, _Trouble):
                return result
            delay_s = max(self.retries.delay_s(attempt, uniform=self.uniform), result.wait_s)
            if result.unseen and unseen < MOST_UNSEEN:
                unseen, delay_s = unseen + 1, self.uniform(0.0, LONGEST_UNSEEN_DELAY_S)
            elif not result.again or attempt == self.retries.attempts or not self.budget.spend():
                raise result.error
            else:
                attempt += 1
            if self.clock() + delay_s >= until:
                raise result.error
            logger.info("%s: a call failed. %s", self.name, result.error.message)
            self.observer.retried()
            if cancel.wait(delay_s):
                raise Cancelled

    def _check_breaker(self, until: float, cancel: Cancellation) -> None:
        """The chunks of a file are asked for side by side: one probes, and the others are not lost
        while the service is about to answer it."""
        asked = self.breaker.admission(wait_s=SLICE_S)
        while asked is Admission.PROBED_FOR and self.clock() < until:
            if cancel.cancelled:
                raise Cancelled
            asked = self.breaker.admission(wait_s=SLICE_S)
        if asked is not Admission.ADMITTED:
            self.observer.called("not_made", 0.0)
            raise TransientEngineFailure(
                f"{self.name} is in trouble and is left alone for some seconds. "
                "Run the same command again later: finished work is kept."
            )

    def _attempt(
        self,
        request: APIRequest,
        read: Callable[[APIResponse], Answer],
        enter: Callable[[], Permit],
        until: float,
        cancel: Cancellation,
    ) -> Answer | _Trouble:
        """The breaker hears in every case how it went, or that nothing was learned."""
        learn: Callable[[], None] = self.breaker.abandoned
        try:
            permit = enter()
            began = self.clock()
            try:
                result = self._ask(request, read, until, cancel, permit)
            finally:
                self.limits.leave(permit)
            bad = isinstance(result, _Trouble) and result.of_service
            failed = partial(self.breaker.failed, began=began)
            learn = failed if bad else self.breaker.succeeded
        except TurnPassed:
            error = TransientEngineFailure(
                f"{self.name} allows so few calls that this piece had no turn in "
                f"{self.deadline_s:.0f} s."
            )
            return _Trouble(error=error, again=False)
        else:
            return result
        finally:
            learn()

    def _ask(
        self,
        request: APIRequest,
        read: Callable[[APIResponse], Answer],
        until: float,
        cancel: Cancellation,
        permit: Permit,
    ) -> Answer | _Trouble:
        try:
            response = self._send(request, until, cancel)
        except CallFailed as failure:
            kind = EngineFailure if failure.permanent else TransientEngineFailure
            unseen = failure.unseen and failure.phase is not Phase.CONNECTING
            return _Trouble(
                error=kind(f"{self.name}: {failure}"),
                again=not failure.permanent,
                of_service=not unseen,
                unseen=unseen,
            )
        if response.status == TOO_MANY:
            return self._too_many(response, permit)
        if response.status != 200:
            return self._refusal(response)
        try:
            answer = read(response)
        except UnusableAnswer as error:
            said = request.without_key(error.message.encode("utf-8", "replace")).decode()
            return _Trouble(error=UnusableAnswer(said), again=True)
        self.limits.succeeded(permit)
        return answer

    def _send(self, request: APIRequest, until: float, cancel: Cancellation) -> APIResponse:
        began = self.clock()
        try:
            response = self.transport.send(
                request, timeouts=self.timeouts, until=until, cancel=cancel
            )
        except CallFailed:
            self.observer.called("failed", self.clock() - began)
            raise
        refused = "refused" if response.status < 500 else "failed"
        outcome = {200: "ok", TOO_MANY: "too_many"}.get(response.status, refused)
        self.observer.called(outcome, self.clock() - began)
        if response.status == 200:
            return response
        return replace(response, body=request.without_key(response.body))

    def _too_many(self, response: APIResponse, permit: Permit) -> _Trouble:
        told_s = retry_after_s(response.headers, now_unix_s=self.wall_clock())
        closed_s = self.retries.first_delay_s if told_s is None else told_s
        closed_s = not_early_s(closed_s, uniform=self.uniform)
        self.limits.refused(permit, closed_s=closed_s)
        message = f"{self.name} has had enough for now (429): {error_message(response)}"
        return _Trouble(
            error=TransientEngineFailure(message),
            again=is_worth_a_retry(response.status, response.headers),
            wait_s=closed_s,
            of_service=False,
        )

    def _refusal(self, response: APIResponse) -> _Trouble:
        said = f"({response.status}): {error_message(response)}"
        if response.status in NOT_LET_IN:
            error = EngineUnavailable(f"{self.name} does not accept the key {said}")
            return _Trouble(error=error, again=False, of_service=False)
        again = is_worth_a_retry(response.status, response.headers)
        told_s = retry_after_s(response.headers, now_unix_s=self.wall_clock())
        wait_s = not_early_s(told_s, uniform=self.uniform) if told_s else 0.0
        kind = TransientEngineFailure if again else EngineFailure
        return _Trouble(
            error=kind(f"{self.name} refused a piece {said}"),
            again=again,
            wait_s=wait_s if again else 0.0,
            of_service=response.status >= 500 or response.status == 408,
        )
