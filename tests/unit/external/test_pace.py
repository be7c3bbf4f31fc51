"""How fast a service is asked: never faster than allowed, and as fast as it turns out to take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.external.pace import (
    PERMIT_S,
    WINDOW_S,
    Pace,
    RateLimit,
    given_back,
    refused,
    started,
    succeeded,
    wait_s,
)

UNLIMITED = RateLimit(concurrency=64)


def starts_of(limit: RateLimit, wishes: list[float], *, audio_s: float = 0.0) -> list[float]:
    """When calls start that are wished for at these moments and take no time."""
    pace, now, found = Pace(), 0.0, []
    for number, wish in enumerate(sorted(wishes)):
        now = max(now, wish)
        while (wait := wait_s(pace, limit, audio_s, now)) > 0:
            now += wait
        pace = given_back(started(pace, str(number), audio_s, now), str(number))
        found.append(now)
    return found


@given(st.lists(st.floats(0, 200), max_size=80), st.integers(1, 12))
def test_no_minute_ever_has_more_requests_than_allowed(wishes: list[float], allowed: int) -> None:
    starts = starts_of(RateLimit(requests_per_minute=allowed, concurrency=64), wishes)
    for start in starts:
        assert sum(start - WINDOW_S < other <= start for other in starts) <= allowed


@given(st.lists(st.floats(0, 200), max_size=40), st.floats(1, 300))
def test_no_minute_ever_has_more_audio_than_allowed(wishes: list[float], audio_s: float) -> None:
    starts = starts_of(RateLimit(audio_s_per_minute=300.0, concurrency=64), wishes, audio_s=audio_s)
    for start in starts:
        inside = sum(start - WINDOW_S < other <= start for other in starts)
        assert inside * audio_s <= 300.0 + 1e-6


def test_a_piece_longer_than_a_minutes_worth_goes_alone() -> None:
    starts = starts_of(RateLimit(audio_s_per_minute=100.0), [0.0, 0.0], audio_s=250.0)
    assert starts[0] == 0.0
    assert WINDOW_S <= starts[1] < WINDOW_S + 0.1


def test_no_more_are_on_their_way_at_once_than_allowed() -> None:
    pace = Pace()
    for number in range(4):
        assert wait_s(pace, RateLimit(concurrency=4), 0.0, 0.0) == 0.0
        pace = started(pace, str(number), 0.0, 0.0)
    assert wait_s(pace, RateLimit(concurrency=4), 0.0, 0.0) > 0.0
    assert wait_s(given_back(pace, "2"), RateLimit(concurrency=4), 0.0, 0.0) == 0.0


def test_a_permit_of_a_process_that_died_is_taken_away() -> None:
    pace = started(Pace(), "lost", 0.0, 0.0)
    assert wait_s(pace, RateLimit(concurrency=1), 0.0, PERMIT_S - 1) > 0.0
    assert wait_s(pace, RateLimit(concurrency=1), 0.0, PERMIT_S + 1) == 0.0


@given(st.floats(0, 3600), st.floats(0, 4000))
def test_a_closed_service_is_never_asked_early(closed_s: float, later: float) -> None:
    pace = refused(Pace(), UNLIMITED, asked_at=0.0, closed_s=closed_s, now=0.0)
    if later < closed_s:
        assert wait_s(pace, UNLIMITED, 0.0, later) >= closed_s - later


def test_after_a_refusal_twenty_waiting_calls_do_not_come_back_together() -> None:
    pace = started(Pace(), "first", 0.0, 0.0)
    pace = refused(pace, UNLIMITED, asked_at=0.0, closed_s=3.0, now=0.1)
    now, starts = 0.1, []
    for number in range(20):
        while (wait := wait_s(pace, UNLIMITED, 0.0, now)) > 0:
            now += wait
        pace = started(pace, str(number), 0.0, now)
        starts.append(now)
    assert starts[0] >= 3.1
    assert min(b - a for a, b in pairwise(starts)) >= 0.01


def test_many_refusals_of_one_burst_are_one_piece_of_news() -> None:
    pace = Pace()
    for number in range(20):
        pace = started(pace, str(number), 0.0, 0.0)
    once = refused(pace, UNLIMITED, asked_at=0.0, closed_s=1.0, now=0.5)
    twice = refused(once, UNLIMITED, asked_at=0.0, closed_s=1.0, now=0.6)
    assert (twice.ceiling_per_s, twice.at_once) == (once.ceiling_per_s, once.at_once)


def test_concurrency_is_halved_by_a_refusal_and_comes_back() -> None:
    limit = RateLimit(concurrency=8)
    pace = refused(Pace(), limit, asked_at=0.0, closed_s=0.0, now=0.0)
    assert pace.at_once == 4
    for _ in range(40):
        pace = succeeded(pace, limit)
    assert pace.at_once == 0.0


@dataclass
class Upstream:
    """A bucket that holds a second's worth, and says how long to wait when it is empty."""

    per_s: float
    tokens: float = 1.0
    at: float = 0.0

    def asked(self, now: float) -> float:
        """0 for an answer, else the seconds to stay away."""
        self.tokens = min(max(1.0, self.per_s), self.tokens + (now - self.at) * self.per_s)
        self.at = now
        if self.tokens >= 1.0 - 1e-9:
            self.tokens -= 1.0
            return 0.0
        return (1.0 - self.tokens) / self.per_s


def simulated(
    limits: Callable[[float], float], *, seconds: float, per_s: float
) -> list[tuple[float, bool]]:
    """Two processes that share a pace ask a service without end: when, and whether it answered."""
    upstream, pace, now = Upstream(per_s), Pace(), 0.0
    asked: list[tuple[float, bool]] = []
    while now < seconds:
        upstream.per_s = limits(now)
        wait = wait_s(pace, UNLIMITED, 0.0, now)
        if wait > 0:
            now += wait
            continue
        pace = given_back(started(pace, "one", 0.0, now), "one")
        closed_s = upstream.asked(now)
        asked.append((now, closed_s == 0.0))
        if closed_s:
            pace = refused(pace, UNLIMITED, asked_at=now, closed_s=closed_s, now=now)
        else:
            pace = succeeded(pace, UNLIMITED)
        now += 0.001
    return asked


def between(asked: list[tuple[float, bool]], start: float, end: float) -> tuple[float, float]:
    """Answers per second, and the share of refusals."""
    inside = [answered for at, answered in asked if start <= at < end]
    return sum(inside) / (end - start), 1 - sum(inside) / len(inside)


def test_an_unknown_limit_is_found_followed_down_and_followed_up_again() -> None:
    def limits(now: float) -> float:
        return 2.0 if 25 <= now < 50 else 10.0

    asked = simulated(limits, seconds=80, per_s=10.0)
    # Fifteen seconds to find out that the limit was lifted or has fallen; the latter costs most.
    phases = ((10, 25, 10.0, 0.02), (25, 40, 1.8, 0.12), (40, 50, 2.0, 0.05), (65, 80, 10.0, 0.02))
    for start, end, limit, most in phases:
        per_s, refusals = between(asked, start, end)
        assert per_s >= 0.9 * limit, (start, per_s, refusals)
        assert refusals <= most, (start, per_s, refusals)


@pytest.mark.parametrize(("fallen", "share"), [(0.5, 0.8), (0.2, 0.8), (0.1, 0.4)])
def test_where_a_limit_fell_to_is_found_in_a_few_refusals(fallen: float, share: float) -> None:
    def limits(now: float) -> float:
        return 10.0 * fallen if now >= 30 else 10.0

    asked = simulated(limits, seconds=45, per_s=10.0)
    refusals = [at for at, answered in asked if at >= 30 and not answered]
    assert len(refusals) <= 4
    reached, _ = between(asked, 35, 45)
    assert reached >= share * 10.0 * fallen


@pytest.mark.parametrize(
    ("per_s", "share", "most"), [(1.0, 0.85, 0.03), (2.0, 0.9, 0.02), (3.0, 0.9, 0.02)]
)
def test_a_limit_that_stays_is_met_ever_more_seldom(
    per_s: float, share: float, most: float
) -> None:
    asked = simulated(lambda _: per_s, seconds=300, per_s=per_s)
    reached, refusals = between(asked, 30, 300)
    assert reached >= share * per_s
    assert refusals <= most


def test_a_fast_service_is_asked_fast() -> None:
    asked = simulated(lambda _: 50.0, seconds=60, per_s=50.0)
    reached, refusals = between(asked, 30, 60)
    assert reached >= 0.95 * 50.0
    assert refusals <= 0.02
