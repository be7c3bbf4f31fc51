"""A chunk that takes unusually long is given to a second engine as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Timer
from typing import Any

import pytest

from stretto.contexts.core.audio import Span
from stretto.contexts.core.errors import Cancelled, EngineFailure
from stretto.contexts.core.recognition import EngineIdentity, Recognition
from stretto.contexts.processing.hedged_engine import (
    CALLS_FOR_A_SECOND,
    MOST_SAVED,
    HedgedEngine,
)
from stretto.contexts.processing.model import AudioChunk, CancelToken
from tests.fakes.audio import a_chunk, speechlike
from tests.fakes.engine import MemoryEngine
from tests.unit.processing.flow import ENGLISH

SAMPLES = speechlike(2.0)


def chunk() -> AudioChunk:
    return a_chunk(SAMPLES, speech=(Span(0, len(SAMPLES)),))


def another(**given: Any) -> MemoryEngine:
    identity = EngineIdentity(
        engine="other", engine_version="1", model="spare", model_revision="r1"
    )
    return MemoryEngine(identity=identity, **given)


class Pair:
    def __init__(self, **given: Any) -> None:
        self.first, self.second = MemoryEngine(), another(**given)
        self.calm = True
        self.engine = HedgedEngine(
            first=self.first, second=self.second, calm=lambda: self.calm, clock=time.monotonic
        )

    def recognise(self, cancel: CancelToken | None = None) -> Recognition:
        return self.engine.recognise(
            chunk(), ENGLISH, cancel=cancel or CancelToken(), report=lambda _: None
        )

    def learn(self, calls: int = CALLS_FOR_A_SECOND) -> None:
        for _ in range(calls):
            self.recognise()


@pytest.fixture
def pair() -> Iterator[Callable[..., Pair]]:
    made: list[Pair] = []

    def make(**given: Any) -> Pair:
        made.append(Pair(**given))
        return made[-1]

    yield make
    for one in made:
        one.first.released.set()
        one.second.released.set()


def test_an_engine_that_answers_in_time_is_asked_alone(pair: Callable[..., Pair]) -> None:
    one = pair()
    one.learn(30)
    assert one.second.calls == 0
    assert not one.recognise().answered_by


def test_a_late_chunk_is_answered_by_the_second_and_says_so(pair: Callable[..., Pair]) -> None:
    one = pair()
    one.learn()
    one.first.released.clear()
    answer = one.recognise()
    assert answer.answered_by == "other spare"
    assert answer.segments
    assert one.engine.hedges == 1


def test_the_loser_is_told_to_stop(pair: Callable[..., Pair]) -> None:
    one = pair()
    one.learn()
    one.first.released.clear()
    one.recognise()
    deadline = time.monotonic() + 5.0
    while one.first.at_once and time.monotonic() < deadline:
        time.sleep(0.01)
    assert one.first.at_once == 0
    assert not one.first.released.is_set()


def test_nobody_knows_what_is_late_before_there_were_some_calls(
    pair: Callable[..., Pair],
) -> None:
    one = pair()
    one.first.released.clear()
    Timer(0.4, one.first.released.set).start()
    assert not one.recognise().answered_by
    assert one.second.calls == 0


def test_never_more_than_one_call_in_twenty_is_made_twice(pair: Callable[..., Pair]) -> None:
    one = pair()
    one.learn(CALLS_FOR_A_SECOND - 2)
    one.first.released.clear()
    release = Timer(0.5, one.first.released.set)
    release.start()
    assert not one.recognise().answered_by  # the nineteenth call has not paid for it
    release.join()
    one.first.released.clear()
    assert one.recognise().answered_by
    release = Timer(0.5, one.first.released.set)
    release.start()
    assert not one.recognise().answered_by
    release.join()
    assert one.engine.hedges == 1


def test_a_good_day_does_not_pay_for_a_crowd(pair: Callable[..., Pair]) -> None:
    one = pair()
    one.learn(3 * MOST_SAVED)
    one.first.released.clear()
    for _ in range(MOST_SAVED // CALLS_FOR_A_SECOND):
        assert one.recognise().answered_by
    Timer(0.5, one.first.released.set).start()
    assert not one.recognise().answered_by


def test_an_engine_that_was_told_to_slow_down_is_not_hedged(pair: Callable[..., Pair]) -> None:
    one = pair()
    one.learn()
    one.calm = False
    one.first.released.clear()
    Timer(0.4, one.first.released.set).start()
    assert not one.recognise().answered_by
    assert one.second.calls == 0


def test_when_the_second_fails_the_first_is_still_waited_for(pair: Callable[..., Pair]) -> None:
    one = pair(broken_by=EngineFailure("The spare gave up."))
    one.learn()
    one.first.released.clear()
    Timer(0.6, one.first.released.set).start()
    assert not one.recognise().answered_by
    assert one.second.calls == 1


def test_a_failure_of_the_first_is_its_failure(pair: Callable[..., Pair]) -> None:
    one = pair()
    one.first.broken_by = EngineFailure("The twin gave up.")
    with pytest.raises(EngineFailure, match="The twin gave up"):
        one.recognise()


def test_a_cancel_stops_both(pair: Callable[..., Pair]) -> None:
    one = pair(held=True)
    one.learn()
    one.first.released.clear()
    cancel, began = CancelToken(), time.monotonic()
    Timer(0.5, cancel.cancel).start()
    with pytest.raises(Cancelled):
        one.recognise(cancel)
    assert time.monotonic() - began < 10.0
    assert one.second.entered.is_set()


def test_the_identity_names_both() -> None:
    alone, together = MemoryEngine().identity, Pair().engine.identity
    assert together != alone
    assert "spare" in together.settings
