"""How loud a recording is over its length, found out once and kept beside it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from stretto.bootstrap.later import LaterReader
from stretto.contexts.core.audio import SAMPLE_RATE_HZ

STEP_S: Final = 0.05
MOST_POINTS: Final = 10_000
"""Nobody draws more."""

MOST_STEPS: Final = 2 * MOST_POINTS
MOST_BYTES: Final = 8 * MOST_STEPS
"""What is written down: a step takes seven of them, such as ``0.244, ``."""

FULL_SCALE: Final = 32_768
BESIDE: Final = ".peaks.json"
"""No recording has a name that begins with a dot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loudness:
    """The highest sample of each of at most MOST_STEPS steps, in [0, 1]."""

    duration_s: float
    steps: tuple[float, ...]

    def drawn(self, points: int) -> list[float]:
        """At most ``points`` values that stand for equal times."""
        count = min(points, len(self.steps))
        edges = [len(self.steps) * i // count for i in range(count + 1)] if count else []
        return [round(max(self.steps[a:b]), 3) for a, b in pairwise(edges)]


class Outline:
    """The highest of what comes, in equal steps: never more than MOST_STEPS, however long it comes,
    because each two neighbours become one as soon as there are so many."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._begun: list[int] = []
        self._each = 1

    def add(self, highest: int) -> None:
        """The highest sample of the next STEP_S."""
        self._begun.append(highest)
        if len(self._begun) < self._each:
            return
        self._steps.append(max(self._begun))
        self._begun.clear()
        if len(self._steps) == MOST_STEPS:
            pairs = zip(self._steps[::2], self._steps[1::2], strict=True)
            self._steps = [max(pair) for pair in pairs]
            self._each *= 2

    def steps(self) -> tuple[float, ...]:
        """In [0, 1]; the last one may stand for less time than the others."""
        last = [max(self._begun)] if self._begun else []
        return tuple(round(highest / FULL_SCALE, 3) for highest in self._steps + last)


def kept_beside(path: Path) -> Loudness | None:
    """How loud the recording is, if that has been found out."""
    try:
        with (path.parent / BESIDE).open(encoding="ascii") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:  # of a version that wrote down all of a long recording
            return None
        found = json.loads(text)
        return Loudness(duration_s=found["duration_s"], steps=tuple(found["steps"]))
    except (OSError, ValueError):
        return None


def measure(path: Path) -> None:
    """Write down how loud it is, beside it."""
    loudness = _measured(path)
    document = {"duration_s": loudness.duration_s, "steps": loudness.steps}
    new = path.parent / f"{BESIDE}.new"
    new.write_text(json.dumps(document), encoding="ascii")
    new.replace(path.parent / BESIDE)


def _measured(path: Path) -> Loudness:
    import numpy as np

    reader = LaterReader()
    stream = reader.open(reader.probe(reader.identify(path)))
    step = round(STEP_S * SAMPLE_RATE_HZ)
    outline = Outline()
    rest = np.zeros(0, np.int16)
    samples = 0
    for block in stream.blocks():
        samples += len(block)
        whole = np.concatenate([rest, block])
        count = len(whole) // step
        loud = np.abs(whole[: count * step].astype(np.int32)).reshape(count, step).max(axis=1)
        for highest in loud.tolist():
            outline.add(highest)
        rest = whole[count * step :]
    return Loudness(duration_s=round(samples / SAMPLE_RATE_HZ, 3), steps=outline.steps())


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
