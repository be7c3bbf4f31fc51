"""Records what happens, on the hot path: a number in a row of numbers that outlives the process."""

from __future__ import annotations

import math
import os
import uuid
import weakref
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final, Protocol

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.monitoring.definitions import BY_NAME, METRICS
from stretto.contexts.monitoring.model import MetricDefinition, MetricKind
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.sketch import (
    BUCKETS,
    FIRST_BUCKET,
    LEAST,
    LOG_GAMMA,
    MOST,
    Sketch,
)

_COUNT, _TOTAL, _ZEROS, _BUCKETS = 0, 1, 2, 3
WIDTHS: Final = {
    MetricKind.COUNTER: 1,
    MetricKind.GAUGE: 2,  # the value, and 1 when there is one
    MetricKind.TIMER: _BUCKETS + BUCKETS,
}
"""How many numbers a series takes."""


class Page(Protocol):
    """Where the numbers of one process lie. ``cells`` are zeros in the beginning."""

    @property
    def id(self) -> str: ...

    @property
    def cells(self) -> array[float] | memoryview[float]: ...


@dataclass(slots=True)
class MemoryPage:
    """Numbers that end with the process."""

    id: str
    cells: array[float]


def memory_page() -> MemoryPage:
    return MemoryPage(uuid.uuid4().hex, array("d", bytes(8 * LAYOUT.size)))


class Layout:
    """Which numbers of a page belong to which series."""

    def __init__(self, series: Sequence[tuple[str, MetricKind]]) -> None:
        self.series = tuple(series)
        self._starts: dict[str, int] = {}
        self.size = 0
        for key, kind in self.series:
            self._starts[key] = self.size
            self.size += WIDTHS[kind]

    def start(self, key: str) -> int:
        return self._starts[key]

    def reading(self, cells: Sequence[float]) -> Reading:
        """What a page says; series that were never recorded are left out."""
        values: dict[str, float] = {}
        sketches: dict[str, Sketch] = {}
        for key, kind in self.series:
            start = self._starts[key]
            if kind is MetricKind.TIMER:
                if cells[start + _COUNT]:
                    sketches[key] = _sketch(cells, start)
            elif kind is MetricKind.COUNTER:
                if cells[start]:
                    values[key] = float(cells[start])
            elif cells[start + 1]:
                values[key] = float(cells[start])
        return Reading(values, sketches)


def _sketch(cells: Sequence[float], start: int) -> Sketch:
    counts = list(cells[start + _BUCKETS : start + _BUCKETS + BUCKETS])
    buckets = {FIRST_BUCKET + i: count for i, count in enumerate(counts) if count}
    return Sketch(buckets, float(cells[start + _ZEROS]), float(cells[start + _TOTAL]))


LAYOUT: Final = Layout([(key, one.kind) for one in METRICS for key in one.series()])


class _Held:
    """The page that is written to, and the right to; a forked child gets a page of its own."""

    __slots__ = ("__weakref__", "cells", "lock", "page")

    def __init__(self, page: Page) -> None:
        self.take(page)

    def take(self, page: Page) -> None:
        self.page, self.cells, self.lock = page, page.cells, Lock()


class Counter:
    """Only grows."""

    __slots__ = ("_at", "_held")

    def __init__(self, held: _Held, at: int) -> None:
        self._held, self._at = held, at

    def add(self, amount: float = 1.0) -> None:
        held = self._held
        with held.lock:
            held.cells[self._at] += amount

    def reached(self, value: float) -> None:
        """For whoever counts elsewhere: it stands at ``value`` now."""
        with self._held.lock:
            self._held.cells[self._at] = max(self._held.cells[self._at], value)


class Gauge:
    """Goes up and down."""

    __slots__ = ("_at", "_held")

    def __init__(self, held: _Held, at: int) -> None:
        self._held, self._at = held, at

    def set(self, value: float) -> None:
        with self._held.lock:
            self._held.cells[self._at], self._held.cells[self._at + 1] = value, 1.0

    def add(self, amount: float) -> None:
        with self._held.lock:
            self._held.cells[self._at] += amount
            self._held.cells[self._at + 1] = 1.0


class Timer:
    """How often which amount was recorded."""

    __slots__ = ("_at", "_first", "_held")

    def __init__(self, held: _Held, at: int) -> None:
        self._held, self._at = held, at
        self._first = at + _BUCKETS - FIRST_BUCKET

    def record(self, value: float) -> None:
        """``value`` is at least 0; one that is no number is not recorded."""
        at = self._at
        if value > 0:
            clipped = LEAST if value < LEAST else MOST if value > MOST else value  # noqa: FURB136 - half the time
            where = self._first + math.ceil(math.log(clipped) / LOG_GAMMA)
        elif value == 0:
            where = at + _ZEROS
        else:
            return
        held = self._held
        with held.lock:
            cells = held.cells
            cells[at] += 1.0
            cells[at + 1] += value
            cells[where] += 1.0


class MetricsCollector:
    """Gives out the counters, gauges and timers of one process. Ask for them once, not for each
    record: asking checks the name and the labels, recording takes less than a microsecond."""

    def __init__(
        self, page: Page, *, in_child: Callable[[Page], Page] = lambda _: memory_page()
    ) -> None:
        """``in_child`` makes the page of a forked child out of its parent's: two processes must not
        write into one, they would overwrite each other's counts."""
        self._held = _Held(page)
        held = weakref.ref(self._held)

        def forked() -> None:
            if (mine := held()) is not None:
                mine.take(in_child(mine.page))

        os.register_at_fork(after_in_child=forked)

    @property
    def page(self) -> Page:
        return self._held.page

    def counter(self, name: str, **labels: str) -> Counter:
        """Raises InvalidOption for a name or label that is not in the table."""
        return Counter(self._held, self._start(MetricKind.COUNTER, name, labels))

    def gauge(self, name: str, **labels: str) -> Gauge:
        return Gauge(self._held, self._start(MetricKind.GAUGE, name, labels))

    def timer(self, name: str, **labels: str) -> Timer:
        return Timer(self._held, self._start(MetricKind.TIMER, name, labels))

    def reading(self) -> Reading:
        """What was recorded since the process began."""
        copy = array("d")
        with self._held.lock:
            copy.frombytes(memoryview(self._held.cells).cast("B"))
        return LAYOUT.reading(copy)

    @staticmethod
    def _start(kind: MetricKind, name: str, labels: dict[str, str]) -> int:
        definition: MetricDefinition | None = BY_NAME.get(name)
        if definition is None or definition.kind is not kind:
            raise InvalidOption(f"There is no {kind} {name[:64]!r} in the table of metrics.")
        return LAYOUT.start(definition.key(labels))
