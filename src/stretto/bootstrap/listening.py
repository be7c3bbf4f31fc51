"""How loud a recording is over its length, found out once and kept beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from stretto.bootstrap.later import LaterReader
from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.core.errors import MediaNotRecognised

STEP_S: Final = 0.05
LONGEST_S: Final = 600.0
FULL_SCALE: Final = 32_768
BESIDE: Final = ".peaks.json"
"""No recording has a name that begins with a dot."""


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
    """The recording is decoded the first time, in a process of its own: whatever is wrong with it,
    the server goes on. Raises MediaNotRecognised."""
    kept = path.parent / BESIDE
    if not kept.exists():
        command = [sys.executable, "-m", "stretto.bootstrap.listening", str(path)]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, timeout=LONGEST_S, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        found = json.loads(kept.read_text(encoding="ascii"))
    except FileNotFoundError as cause:
        raise MediaNotRecognised(f"{path.name} cannot be decoded to be drawn.") from cause
    return Loudness(duration_s=found["duration_s"], steps=tuple(found["steps"]))


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


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
