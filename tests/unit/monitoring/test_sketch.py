"""The sketch: percentiles within one per cent of the truth, also after twenty are merged."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.monitoring.sketch import (
    ACCURACY,
    LEAST,
    MOST,
    P50,
    P95,
    P99,
    Percentile,
    Sketch,
    bucket_of,
    merged,
    middle_of,
)

DISTRIBUTIONS: dict[str, Callable[[random.Random], float]] = {
    "uniform": lambda dice: dice.uniform(0.01, 100),
    "exponential": lambda dice: dice.expovariate(0.5) + LEAST,
    "bimodal": lambda dice: dice.choice((dice.gauss(0.05, 0.005), dice.gauss(90, 3))),
    "constant": lambda _: 0.7,
}
ROUNDING = 1e-9
AMOUNTS = st.lists(st.floats(LEAST, MOST), min_size=1, max_size=200)


def exact(values: list[float], percentile: Percentile) -> float:
    return sorted(values)[math.ceil(percentile.value / 100 * len(values)) - 1]


@pytest.mark.parametrize("percentile", [P50, P95, P99], ids=str)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_percentile_of_twenty_merged_sketches_is_within_one_per_cent(
    name: str, percentile: Percentile
) -> None:
    dice = random.Random(7)
    parts = [[abs(DISTRIBUTIONS[name](dice)) for _ in range(500)] for _ in range(20)]
    truth = exact([value for part in parts for value in part], percentile)
    found = merged(Sketch.of(part) for part in parts).percentile(percentile)
    assert found == pytest.approx(truth, rel=ACCURACY + ROUNDING)


@given(values=AMOUNTS, percentile=st.sampled_from([P50, P95, P99]))
def test_a_percentile_is_within_one_per_cent_whatever_was_recorded(
    values: list[float], percentile: Percentile
) -> None:
    found = Sketch.of(values).percentile(percentile)
    assert found == pytest.approx(exact(values, percentile), rel=ACCURACY + ROUNDING)


@given(parts=st.lists(AMOUNTS, min_size=1, max_size=20))
def test_merging_is_the_same_as_recording_everything_in_one(parts: list[list[float]]) -> None:
    one = Sketch.of(value for part in parts for value in part)
    many = merged(Sketch.of(part) for part in parts)
    assert (many.buckets, many.zeros) == (one.buckets, one.zeros)
    assert many.total == pytest.approx(one.total)


@given(earlier=AMOUNTS, later=AMOUNTS)
def test_what_came_since_is_what_was_recorded_since(
    earlier: list[float], later: list[float]
) -> None:
    before, after = Sketch.of(earlier), Sketch.of([*earlier, *later])
    assert after.minus(before).buckets == Sketch.of(later).buckets


@given(value=st.floats(LEAST, MOST))
def test_the_middle_of_a_bucket_is_near_to_what_falls_into_it(value: float) -> None:
    assert middle_of(bucket_of(value)) == pytest.approx(value, rel=ACCURACY + ROUNDING)


def test_zeros_are_counted_as_zeros() -> None:
    sketch = Sketch.of([0.0, 0.0, 0.0, 5.0])
    assert sketch.percentile(P50) == 0.0
    assert (sketch.count, sketch.average) == (4, 1.25)


def test_nothing_recorded_has_no_percentile_and_no_average() -> None:
    assert Sketch().percentile(P99) is None
    assert Sketch().average is None


def test_what_is_too_large_or_too_small_counts_as_the_largest_and_the_smallest() -> None:
    assert Sketch.of([1e-12]).percentile(P50) == pytest.approx(LEAST, rel=ACCURACY)
    assert Sketch.of([1e12]).percentile(P50) == pytest.approx(MOST, rel=ACCURACY)


@pytest.mark.parametrize("value", [0, 100, -1, 101])
def test_a_percentile_lies_between_0_and_100(value: float) -> None:
    with pytest.raises(InvalidOption):
        Percentile(value)
