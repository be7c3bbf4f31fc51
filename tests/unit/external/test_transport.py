"""Waiting for the answer to a request that is on its way."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest

from stretto.contexts.core.errors import Cancelled
from stretto.contexts.external.adapters.transport import answer_of
from stretto.contexts.external.model import APIResponse, CallFailed, Phase
from stretto.contexts.processing.model import CancelToken

ANSWER = APIResponse(status=200, headers={}, body=b"text", protocol="h2")


class LateAnswer(Future[APIResponse]):
    """Whoever waits stops waiting; that very moment ``end`` comes."""

    def __init__(self, end: APIResponse | Exception) -> None:
        super().__init__()
        self.end = end

    def result(self, timeout: float | None = None) -> APIResponse:
        if self.done():
            return super().result(timeout)
        if isinstance(self.end, Exception):
            self.set_exception(self.end)
        else:
            self.set_result(self.end)
        raise TimeoutError


def in_a_minute() -> float:
    return time.monotonic() + 60.0


def test_an_answer_that_comes_when_one_stops_waiting_for_a_moment_is_taken() -> None:
    assert answer_of(LateAnswer(ANSWER), until=in_a_minute(), cancel=CancelToken()) is ANSWER


def test_so_is_an_error() -> None:
    error = CallFailed("It broke.", phase=Phase.WAITING)
    with pytest.raises(CallFailed, match="broke"):
        answer_of(LateAnswer(error), until=in_a_minute(), cancel=CancelToken())


def test_nobody_waits_for_longer_than_there_is_time_or_after_a_cancel() -> None:
    with pytest.raises(CallFailed, match="time for this piece is over"):
        answer_of(Future(), until=time.monotonic(), cancel=CancelToken())
    cancelled = CancelToken()
    cancelled.cancel()
    with pytest.raises(Cancelled):
        answer_of(Future(), until=in_a_minute(), cancel=cancelled)
