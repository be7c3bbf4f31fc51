"""The nouns of monitoring: what is measured, in which unit, and with which words beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from types import MappingProxyType
from typing import Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp

OTHER: Final = "other"
"""What every label value becomes that is not in the list, where the list has it."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\Z")
_WORD: Final = re.compile(r"[A-Za-z0-9_./-]{1,40}\Z")


class MetricKind(StrEnum):
    """A counter only grows, a gauge is what it is just now, a timer is a distribution of amounts
    of at least 0: mostly seconds."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TIMER = "timer"


class Across(StrEnum):
    """What the gauges of several processes are together."""

    SUM = "sum"
    HIGHEST = "highest"
    LOWEST = "lowest"


@dataclass(frozen=True, slots=True)
class MetricName:
    """Such as ``queue.depth``: the part of the program, a dot, and what is measured there."""

    value: str

    def __post_init__(self) -> None:
        if not _NAME.match(self.value):
            raise InvalidOption(f"{self.value[:64]!r} is no name of a metric, as queue.depth is.")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """A number and the moment at which it was true."""

    at: Timestamp
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDefinition:
    """One line of the table. ``labels`` are the words beside a value, each with all values that it
    may have: there are never more series than the table says, whatever comes from outside."""

    name: MetricName
    kind: MetricKind
    unit: str
    help: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    across: Across = Across.SUM

    def __post_init__(self) -> None:
        words = [*self.labels, *(v for values in self.labels.values() for v in values)]
        if not all(_WORD.match(word) for word in words) or len(self.labels) > 2:
            raise InvalidOption(f"The labels of {self.name} are not plain words, or too many.")

    def series(self) -> tuple[str, ...]:
        """Every series that there can be."""
        return tuple(
            series_key(self.name.value, dict(zip(self.labels, values, strict=True)))
            for values in product(*self.labels.values())
        )

    def key(self, labels: Mapping[str, str]) -> str:
        """The series for these label values. Raises InvalidOption for a label that is missing or
        not known, and for a value that is not known where there is no ``other``."""
        if labels.keys() != self.labels.keys():
            raise InvalidOption(f"{self.name} has the labels {', '.join(self.labels) or '(none)'}.")
        return series_key(self.name.value, {n: self._known(n, v) for n, v in labels.items()})

    def _known(self, label: str, value: str) -> str:
        if value in self.labels[label]:
            return value
        if OTHER in self.labels[label]:
            return OTHER
        raise InvalidOption(f"{self.name} knows no {label} {value[:32]!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measurement: what was measured, beside which words, and what it was."""

    name: MetricName
    labels: Mapping[str, str]
    value: MetricValue

    @property
    def series(self) -> str:
        return series_key(self.name.value, self.labels)


def series_key(name: str, labels: Mapping[str, str]) -> str:
    """Example: ``queue.depth{priority=high}``; without labels it is the name."""
    words = ",".join(f"{label}={value}" for label, value in sorted(labels.items()))
    return f"{name}{{{words}}}" if words else name


def split_key(key: str) -> tuple[str, dict[str, str]]:
    """The inverse of ``series_key``."""
    name, _, words = key.removesuffix("}").partition("{")
    return name, dict(word.split("=", 1) for word in words.split(",") if word)
