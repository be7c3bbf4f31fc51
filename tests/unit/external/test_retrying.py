"""What is worth asking again, when, and how often."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.external.breaker import Admission, CircuitBreaker
from stretto.contexts.external.retrying import (
    LONGEST_CLOSED_S,
    RetryBudget,
    RetryPolicy,
    is_worth_a_retry,
    not_early_s,
    retry_after_s,
)
from tests.fakes.clock import FakeClock

NOW = 1_800_000_000.0


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 599])
def test_the_services_own_trouble_is_worth_a_retry(status: int) -> None:
    assert is_worth_a_retry(status, {})


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 415, 422, 501])
def test_what_would_be_the_same_again_is_not(status: int) -> None:
    assert not is_worth_a_retry(status, {})


def test_a_service_that_knows_better_is_believed() -> None:
    assert not is_worth_a_retry(503, {"x-should-retry": "false"})
    assert is_worth_a_retry(400, {"x-should-retry": "TRUE"})
    assert is_worth_a_retry(503, {"x-should-retry": "perhaps"})


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("1000000000", LONGEST_CLOSED_S),
        (formatdate(NOW + 40, usegmt=True), 40.0),
        (formatdate(NOW - 40, usegmt=True), 0.0),
        (formatdate(NOW + 10**8, usegmt=True), LONGEST_CLOSED_S),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("30, 60", None),
        ("NaN", None),
        ("٣", None),
        ("Fri, 99 Foo 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_understood_or_is_nothing(told: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": told}, now_unix_s=NOW) == seconds


def test_milliseconds_come_before_seconds() -> None:
    headers = {"retry-after-ms": "250", "retry-after": "9"}
    assert retry_after_s(headers, now_unix_s=NOW) == 0.25
    assert retry_after_s({"retry-after-ms": "x", "retry-after": "9"}, now_unix_s=NOW) == 9.0


@given(st.text(max_size=40))
def test_whatever_a_service_says_is_a_wait_within_an_hour_or_nothing(told: str) -> None:
    seconds = retry_after_s({"retry-after": told}, now_unix_s=NOW)
    assert seconds is None or 0.0 <= seconds <= LONGEST_CLOSED_S


@given(st.floats(0, 3600), st.floats(0, 1))
def test_a_wait_is_never_shorter_than_told(seconds: float, drawn: float) -> None:
    waited = not_early_s(seconds, uniform=lambda low, high: low + (high - low) * drawn)
    assert seconds <= waited <= seconds + max(1.0, seconds / 10)


@given(st.integers(1, 60), st.floats(0, 1))
def test_delays_are_full_jitter_up_to_a_cap(attempt: int, drawn: float) -> None:
    policy = RetryPolicy()
    delay_s = policy.delay_s(attempt, uniform=lambda low, high: low + (high - low) * drawn)
    assert 0.0 <= delay_s <= min(8.0, 0.5 * 2.0 ** (attempt - 1))


@given(st.lists(st.booleans(), max_size=400))
def test_retries_stay_within_a_fifth_of_the_first_tries_and_three(fails: list[bool]) -> None:
    budget, retries = RetryBudget(), 0
    for first, failed in enumerate(fails, start=1):
        budget.tried_first()
        retries += failed and budget.spend()
        assert retries <= 0.2 * first + 3


def admits(breaker: CircuitBreaker) -> bool:
    return breaker.admission() is Admission.ADMITTED


def test_the_breaker_opens_after_failures_in_a_row_and_lets_one_probe_through() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock=lambda: clock().unix_s)
    for _ in range(5):
        assert admits(breaker)
        breaker.failed()
    assert not admits(breaker)
    clock.advance(5.0)
    assert admits(breaker)
    assert [admits(breaker) for _ in range(20)] == [False] * 20
    breaker.failed()
    clock.advance(4.9)
    assert not admits(breaker)
    clock.advance(0.2)
    assert admits(breaker)
    breaker.succeeded()
    assert all(admits(breaker) for _ in range(20))


def test_calls_that_fail_together_are_one_failure() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock=lambda: clock.unix_s)
    for _ in range(4):
        began = clock.unix_s
        clock.advance(1.0)
        for _ in range(8):
            assert admits(breaker)
            breaker.failed(began=began)
        clock.advance(0.1)
    assert not breaker.open
    breaker.failed(began=clock.unix_s)
    assert breaker.open


def test_a_success_in_between_keeps_the_breaker_closed() -> None:
    breaker = CircuitBreaker(clock=lambda: 0.0)
    for _ in range(20):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert admits(breaker)


def test_a_probe_that_is_given_up_makes_room_for_the_next() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock=lambda: clock().unix_s, failures=1)
    breaker.failed()
    clock.advance(5.0)
    assert admits(breaker)
    breaker.abandoned()
    assert admits(breaker)


@pytest.mark.parametrize(
    ("end", "then"),
    [
        (CircuitBreaker.succeeded, Admission.ADMITTED),
        (CircuitBreaker.failed, Admission.TURNED_AWAY),
    ],
    ids=["well again", "still in trouble"],
)
def test_whoever_comes_while_a_probe_is_on_its_way_waits_for_what_it_says(
    end: Callable[[CircuitBreaker], None], then: Admission
) -> None:
    now_s = 0.0
    breaker = CircuitBreaker(clock=lambda: now_s, failures=1)
    breaker.failed()
    now_s = 6.0
    assert admits(breaker)
    assert breaker.admission() is Admission.PROBED_FOR
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(breaker.admission, wait_s=60.0) for _ in range(3)]
        end(breaker)
        assert [one.result() for one in asked] == [then] * 3
