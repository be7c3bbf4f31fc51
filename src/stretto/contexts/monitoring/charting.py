"""The points of the charts. A frame that is there never changes, and none comes before the newest:
so each frame is read and computed once, however often somebody looks. Where a clock was set back,
a process goes on showing what it saw of those seconds first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.frames import MOST_POINTS, Frame, Point
from stretto.contexts.monitoring.ports import Frames

KEPT: Final = MOST_POINTS + 1
"""So many points of each step are remembered: those of the longest chart, with its ragged edge."""


@dataclass(slots=True)
class _Known:
    """All points of a step that begin in [start, until): there will be no others."""

    start: float
    until: float
    points: dict[float, Point] = field(default_factory=dict)


class ChartPoints:
    """Of one process; ``point`` makes a point of a frame."""

    def __init__(self, frames: Frames, point: Callable[[Frame], Point]) -> None:
        self._frames, self._point = frames, point
        self._steps: dict[int, _Known] = {}
        self._lock = Lock()

    def between(self, step_s: int, start: Timestamp, end: Timestamp) -> Mapping[float, Point]:
        """By the moments at which they begin; others than those asked for may be among them.

        Raises StorageUnavailable.
        """
        with self._lock:  # of two who look at the same time, the second one finds everything there
            known = self._steps.get(step_s)
            if known is None or not known.start <= end.unix_s or not start.unix_s <= known.until:
                known = _Known(start.unix_s, start.unix_s)
            if start.unix_s < known.start:
                known.points.update(self._read(step_s, start.unix_s, known.start))
                known.start = start.unix_s
            newer = self._read(step_s, known.until, end.unix_s)
            known.points.update(newer)
            known.until = max((at + step_s for at in newer), default=known.until)
            known.start = max(known.start, end.unix_s - KEPT * step_s)
            known.points = {at: one for at, one in known.points.items() if at >= known.start}
            self._steps[step_s] = known
            return known.points

    def _read(self, step_s: int, start: float, end: float) -> dict[float, Point]:
        frames = self._frames.between(step_s, Timestamp(start), Timestamp(end))
        return {frame.start.unix_s: self._point(frame) for frame in frames}
