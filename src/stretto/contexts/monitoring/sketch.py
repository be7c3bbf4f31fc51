"""A sketch of a distribution: percentiles within one per cent, and mergeable without loss.

Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", VLDB 2019. Values are counted in buckets whose bounds grow by the factor GAMMA; a
percentile is answered from the middle of its bucket. Two sketches are merged, and an earlier one
is taken off a later one, by adding and subtracting counts: each value keeps its bucket.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from stretto.contexts.core.errors import InvalidOption

ACCURACY: Final = 0.01
GAMMA: Final = (1 + ACCURACY) / (1 - ACCURACY)
LOG_GAMMA: Final = math.log(GAMMA)

LEAST: Final = 1e-4
MOST: Final = 1e5
"""What is smaller or larger counts as these: 0.1 milliseconds and a day, where it is seconds."""


def bucket_of(value: float) -> int:
    """The bucket i holds the values in (GAMMA ** (i - 1), GAMMA ** i]."""
    return math.ceil(math.log(min(max(value, LEAST), MOST)) / LOG_GAMMA)


def middle_of(bucket: int) -> float:
    """The value whose relative distance to both ends of the bucket is the same."""
    return 2 * GAMMA**bucket / (GAMMA + 1)


FIRST_BUCKET: Final = bucket_of(LEAST)
BUCKETS: Final = bucket_of(MOST) - FIRST_BUCKET + 1


@dataclass(frozen=True, slots=True)
class Percentile:
    """Such as 95: at most as many per cent of the values are above the answer as are left."""

    value: float

    def __post_init__(self) -> None:
        if not 0 < self.value < 100:
            raise InvalidOption(f"A percentile is above 0 and below 100, not {self.value:g}.")

    def __str__(self) -> str:
        return f"p{self.value:g}"


P50: Final = Percentile(50)
P95: Final = Percentile(95)
P99: Final = Percentile(99)


@dataclass(frozen=True, slots=True)
class Sketch:
    """``zeros`` is how many values were exactly 0, ``total`` the sum of all."""

    buckets: Mapping[int, float] = field(default_factory=dict)
    zeros: float = 0.0
    total: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> Sketch:
        buckets: dict[int, float] = {}
        zeros = total = 0.0
        for value in values:
            total += value
            if value <= 0:
                zeros += 1
            else:
                bucket = bucket_of(value)
                buckets[bucket] = buckets.get(bucket, 0.0) + 1
        return cls(buckets, zeros, total)

    @property
    def count(self) -> float:
        return self.zeros + sum(self.buckets.values())

    @property
    def average(self) -> float | None:
        count = self.count
        return self.total / count if count else None

    def percentile(self, percentile: Percentile) -> float | None:
        """Within one per cent of the value at that rank; None when nothing was recorded."""
        return self.percentiles(percentile)[0]

    def percentiles(self, *wanted: Percentile) -> tuple[float | None, ...]:
        """Several at once: what costs is to sort the buckets."""
        buckets = sorted(self.buckets)
        # at i the values in all buckets before the one at i, the zeros with them
        below = list(accumulate(map(self.buckets.__getitem__, buckets), initial=self.zeros))
        if below[-1] <= 0:
            return (None,) * len(wanted)
        ranks = (math.ceil(one.value / 100 * below[-1]) for one in wanted)
        found = (min(bisect_left(below, rank), len(buckets)) for rank in ranks)
        return tuple(middle_of(buckets[at - 1]) if at else 0.0 for at in found)

    def up_to(self, bound: float) -> float:
        """How many values were at most ``bound``, within one per cent of it."""
        last = bucket_of(bound)
        return self.zeros + sum(n for bucket, n in self.buckets.items() if bucket <= last)

    def plus(self, other: Sketch) -> Sketch:
        return self._combined(other, 1.0)

    def minus(self, earlier: Sketch) -> Sketch:
        """What was recorded since ``earlier``, which is a former state of this one."""
        return self._combined(earlier, -1.0)

    def _combined(self, other: Sketch, sign: float) -> Sketch:
        buckets = dict(self.buckets)
        for bucket, count in other.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0.0) + sign * count
        return Sketch(
            {bucket: count for bucket, count in buckets.items() if count > 0},
            max(0.0, self.zeros + sign * other.zeros),
            self.total + sign * other.total,
        )


def merged(sketches: Iterable[Sketch]) -> Sketch:
    """All of them as one."""
    several = tuple(sketches)
    if len(several) == 1:
        return several[0]
    buckets: dict[int, float] = {}
    for sketch in several:
        for bucket, count in sketch.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0.0) + count
    zeros = sum((one.zeros for one in several), 0.0)
    return Sketch(buckets, zeros, sum((one.total for one in several), 0.0))
