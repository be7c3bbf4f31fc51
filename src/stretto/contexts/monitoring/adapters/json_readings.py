"""Readings as JSON, as they lie in the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.sketch import Sketch


@dataclass(frozen=True, slots=True)
class _Json:
    """A reading as it is kept; its timers are still to be decoded."""

    v: dict[str, float] = field(default_factory=dict)
    s: dict[str, msgspec.Raw] = field(default_factory=dict)


_Timer = tuple[float, float, dict[int, float]]
"""Of a timer its total, its zeros, and its buckets."""

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Json)
_TIMER: Final = msgspec.json.Decoder(_Timer)


class _Sketches(Mapping[str, Sketch]):
    """Decoded one by one when they are asked for: they are nearly all of a reading, and a rule or a
    series asks for one of them, if any."""

    __slots__ = ("_decoded", "_raw")

    def __init__(self, raw: Mapping[str, msgspec.Raw]) -> None:
        self._raw = raw
        self._decoded: dict[str, Sketch] = {}

    def __getitem__(self, key: str) -> Sketch:
        found = self._decoded.get(key)
        if found is None:
            total, zeros, buckets = _TIMER.decode(self._raw[key])
            found = self._decoded[key] = Sketch(buckets, zeros, total)
        return found

    def __contains__(self, key: object) -> bool:
        return key in self._raw

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __repr__(self) -> str:
        return repr(dict(self))


def encoded(reading: Reading) -> str:
    sketches = {key: _encoded(sketch) for key, sketch in reading.sketches.items()}
    return _ENCODER.encode({"v": dict(reading.values), "s": sketches}).decode()


def _encoded(sketch: Sketch) -> _Timer:
    """Counts as whole numbers, which they are: it is shorter, and read more quickly."""
    return sketch.total, int(sketch.zeros), {b: int(n) for b, n in sketch.buckets.items()}


def decoded(text: str) -> Reading:
    found = _DECODER.decode(text) if text else _Json()
    return Reading(found.v, _Sketches(found.s))
