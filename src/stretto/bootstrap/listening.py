"""How loud a recording is over its length, found out once and kept beside it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Final

from stretto.bootstrap.later import LaterReader
from stretto.contexts.core.audio import SAMPLE_RATE_HZ

STEP_S: Final = 0.05
FULL_SCALE: Final = 32_768
FOLDER: Final = ".peaks"

_one_at_a_time = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loudness:
    """The highest sample of each step, in [0, 1]."""

    duration_s: float
    steps: tuple[float, ...]

    def drawn(self, points: int) -> list[float]:
        """At most ``points`` values that stand for equal times."""
        count = min(points, len(self.steps))
        edges = [len(self.steps) * i // count for i in range(count + 1)] if count else []
        return [round(max(self.steps[a:b]), 3) for a, b in pairwise(edges)]


def peaks_of(path: Path) -> Loudness:
    """Decodes the recording the first time. Raises UnusableMedia."""
    kept = path.parents[2] / FOLDER / f"{path.parent.name}.json"
    with suppress(FileNotFoundError, ValueError, KeyError):
        found = json.loads(kept.read_text(encoding="ascii"))
        return Loudness(duration_s=found["duration_s"], steps=tuple(found["steps"]))
    with _one_at_a_time:  # a rush on one recording must not take every thread and core
        loudness = _measured(path)
    with suppress(OSError):  # it is found out again then
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        document = {"duration_s": loudness.duration_s, "steps": loudness.steps}
        new = kept.with_suffix(".new")
        new.write_text(json.dumps(document), encoding="ascii")
        new.replace(kept)
    return loudness


def _measured(path: Path) -> Loudness:
    import numpy as np

    reader = LaterReader()
    stream = reader.open(reader.probe(reader.identify(path)))
    step = round(STEP_S * SAMPLE_RATE_HZ)
    steps: list[float] = []
    rest = np.zeros(0, np.int16)
    samples = 0
    for block in stream.blocks():
        samples += len(block)
        whole = np.concatenate([rest, block])
        count = len(whole) // step
        loud = np.abs(whole[: count * step].astype(np.int32)).reshape(count, step).max(axis=1)
        steps += [round(float(value) / FULL_SCALE, 3) for value in loud]
        rest = whole[count * step :]
    return Loudness(duration_s=round(samples / SAMPLE_RATE_HZ, 3), steps=tuple(steps))
