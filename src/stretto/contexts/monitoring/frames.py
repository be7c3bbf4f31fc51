"""Series as frames: what all series did in ten seconds, a minute, ten minutes, an hour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.reading import Reading, in_a_row

STEP_S: Final = 10
DAY_S: Final = 86_400
STEPS: Final = {
    STEP_S: 2 * 3600,
    60: 2 * DAY_S,
    600: 14 * DAY_S,
    3600: 60 * DAY_S,
    6 * 3600: 400 * DAY_S,
    DAY_S: 400 * DAY_S,
}
"""How long the frames of each step are kept, in seconds: 9,056 frames at most in all."""

AHEAD_S: Final = 1800.0
"""A tick that lies further ahead was made by a clock that was wrong, or set back since: nobody
waits until it has come. Two clocks that differ by less make one series, that of the one ahead."""

LONGEST_S: Final = max(STEPS.values())
MOST_POINTS: Final = LONGEST_S // DAY_S
"""Of a stretch that is shown, however long it is."""


Point = tuple[float | None, ...]
"""Of each line of a dashboard what it is at one moment; None where nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The point that a frame is in the charts, computed when the frame was made. ``charts`` says of
    which ones: others compute theirs from the reading."""

    charts: str
    point: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What was recorded in the ``step_s`` seconds from ``start`` on: how much counters and timers
    grew, and what gauges were."""

    step_s: int
    start: Timestamp
    reading: Reading
    drawn: Drawn | None = None


class ProcessState(StrEnum):
    RUNNING = "running"
    LEFT = "left"
    DIED = "died"
    """Somebody found what it left, and no word of farewell."""

    LOST = "lost"
    """It has been silent for too long; it may still be there, on a machine out of reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReport:
    """One process: who it is, when it reported, and where its series stand."""

    id: str
    role: str
    host: str
    pid: int
    at: Timestamp
    reading: Reading
    state: ProcessState = ProcessState.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where all series stood when the last frame was made: counters and timers of ``ended``
    processes, and ``told``, those of all."""

    ended: Reading = field(default_factory=Reading)
    told: Reading = field(default_factory=Reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What a tick makes of the reports: a frame, what is to be kept for the next one, the processes
    that need not be remembered (``gone``), and those that are ``lost`` from now on."""

    frame: Frame
    kept: Kept
    gone: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def start_of(at: Timestamp, step_s: int) -> Timestamp:
    """The beginning of the frame into which a moment falls."""
    return Timestamp(at.unix_s // step_s * step_s)


def rolled_up(frames: Iterable[Frame], step_s: int) -> list[Frame]:
    """Frames of a finer step as frames of ``step_s``, in their order."""
    groups: dict[float, list[Reading]] = {}
    for frame in frames:
        groups.setdefault(start_of(frame.start, step_s).unix_s, []).append(frame.reading)
    return [
        Frame(step_s=step_s, start=Timestamp(start), reading=in_a_row(group))
        for start, group in sorted(groups.items())
    ]


def step_for(span_s: float, *, points: int) -> int:
    """The finest step that gives at most ``points`` frames for ``span_s``, and is kept so long."""
    fits = [step for step, kept_s in STEPS.items() if span_s / step <= points and span_s <= kept_s]
    return min(fits, default=max(STEPS))
