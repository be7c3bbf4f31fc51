"""Readings and frames as JSON, as they lie in the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.frames import Drawn, Frame, Point
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.sketch import Sketch


@dataclass(frozen=True, slots=True)
class _Json:
    """A reading as it is kept; its timers are still to be decoded. ``d`` is what the charts show of
    a frame."""

    v: dict[str, float] = field(default_factory=dict)
    s: dict[str, msgspec.Raw] = field(default_factory=dict)
    d: tuple[str, Point] | None = None


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
    return _ENCODER.encode(_shaped(reading)).decode()


def encoded_frame(frame: Frame) -> str:
    """Its reading, and its point where it has one."""
    drawn = {"d": (frame.drawn.charts, frame.drawn.point)} if frame.drawn else {}
    return _ENCODER.encode(_shaped(frame.reading) | drawn).decode()


def _shaped(reading: Reading) -> dict[str, Any]:
    sketches = {key: _encoded(sketch) for key, sketch in reading.sketches.items()}
    return {"v": dict(reading.values), "s": sketches}


def _encoded(sketch: Sketch) -> _Timer:
    """Counts as whole numbers, which they are: it is shorter, and read more quickly."""
    return sketch.total, int(sketch.zeros), {b: int(n) for b, n in sketch.buckets.items()}


def decoded(text: str) -> Reading:
    found = _DECODER.decode(text) if text else _Json()
    return Reading(found.v, _Sketches(found.s))


def decoded_frame(step_s: int, starts_at: float, text: str) -> Frame:
    found = _DECODER.decode(text)
    return Frame(
        step_s=step_s,
        start=Timestamp(starts_at),
        reading=Reading(found.v, _Sketches(found.s)),
        drawn=Drawn(*found.d) if found.d else None,
    )
