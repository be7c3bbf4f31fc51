"""Finds the quiet points of a recording, to the sample, from the sound around each of them alone.

A pause is a local minimum of loudness: the 0.2 seconds around it carry less energy than those
around any other point within half a second. This is local-extremum chunking (Bjørner, Blass and
Gurevich, "Content-dependent chunking for differential compression, the local maximum approach",
2010) applied to energy, with exact integer arithmetic, so that the same sound always gives the same
pauses, wherever in a file it stands and however the file was read.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.processing.model import Pause, Samples

NARROW: Final = SAMPLE_RATE_HZ // 5
WIDE: Final = SAMPLE_RATE_HZ * 3 // 2
SURROUNDINGS: Final = SAMPLE_RATE_HZ * 12
SPACING: Final = SAMPLE_RATE_HZ // 2
"""Samples over which energy is summed (0.2 s, 1.5 s, 12 s) and the reach of a minimum (0.5 s)."""

MAKESHIFT_AFTER: Final = SAMPLE_RATE_HZ * 10
"""Where sound goes on without any minimum (a tone, digital silence), one point in 10 s is offered
all the same, so that even such a recording can be cut while it is read."""

FULL_SCALE: Final = 32768.0


class PauseFinder:
    """Feed it the samples in pieces of any size; it answers with the pauses that became certain.

    Memory is bounded by the size of a piece plus 20 seconds.
    """

    def __init__(self) -> None:
        self._sums: npt.NDArray[np.int64] = np.zeros(1, dtype=np.int64)  # prefix sums of energy
        self._origin = 0  # the sample that the first prefix sum stands in front of
        self._searched = 0  # window starts below this one are decided
        self._latest = 0  # the window start that was offered last

    @property
    def certain(self) -> int:
        """All pauses below this sample are known."""
        return self._searched

    @property
    def _end(self) -> int:
        return self._origin + len(self._sums) - 1

    def feed(self, samples: Samples) -> list[Pause]:
        energy = np.square(samples, dtype=np.int64)
        np.cumsum(energy, out=energy)
        self._sums = np.concatenate([self._sums, self._sums[-1] + energy])
        return self._search(self._end - SURROUNDINGS)

    def finish(self) -> list[Pause]:
        return self._search(max(0, self._end - NARROW + 1))

    def _search(self, limit: int) -> list[Pause]:
        if limit <= self._searched:
            return []
        first = max(self._origin, self._searched - SPACING)
        starts = self._sums[first - self._origin :]
        energy = starts[NARROW:] - starts[:-NARROW]  # of [first + i, first + i + NARROW)
        found = []
        for block in range(self._searched - first, limit - first, SPACING):
            stop = min(block + SPACING, limit - first)
            lowest = block + int(np.argmin(energy[block:stop]))
            start = first + lowest
            if _is_minimum(energy, lowest):
                start += _plateau(energy, lowest) // 2
            elif start - self._latest < MAKESHIFT_AFTER:
                continue
            found.append(self._describe(start))
            self._latest = start
        self._searched = limit
        self._forget()
        return found

    def _describe(self, start: int) -> Pause:
        position = start + NARROW // 2
        narrow, wide, around = (self._energy_around(position, w) for w in _WIDTHS)
        return Pause(
            position=position,
            loudness=narrow * 3840 + wide * 64 + around,
            level_dbfs=_decibels(narrow, NARROW),
            surroundings_dbfs=_decibels(around, SURROUNDINGS),
        )

    def _energy_around(self, position: int, width: int) -> int:
        low = max(position - width // 2, self._origin) - self._origin
        high = min(position + width // 2, self._end) - self._origin
        return int(self._sums[high] - self._sums[low])

    def _forget(self) -> None:
        keep_from = max(self._origin, self._searched - SURROUNDINGS)
        self._sums = self._sums[keep_from - self._origin :]
        self._origin = keep_from


_WIDTHS = (NARROW, WIDE, SURROUNDINGS)


def _is_minimum(energy: npt.NDArray[np.int64], at: int) -> bool:
    """Quieter than everything in reach before it, and not louder than anything after it."""
    value = energy[at]
    before, after = energy[max(0, at - SPACING) : at], energy[at + 1 : at + 1 + SPACING]
    return bool((before.size == 0 or before.min() > value) and not (after < value).any())


def _plateau(energy: npt.NDArray[np.int64], at: int) -> int:
    """How many windows after ``at`` are exactly as quiet: digital silence is cut in its middle."""
    louder = np.flatnonzero(energy[at + 1 : at + 1 + SPACING] != energy[at])
    return int(louder[0]) if louder.size else min(SPACING, len(energy) - at - 1)


def _decibels(energy: int, width: int) -> float:
    """Level relative to full scale, floored at -120 dB."""
    return max(-120.0, 10 * math.log10(max(energy, 1) / width / FULL_SCALE**2))
