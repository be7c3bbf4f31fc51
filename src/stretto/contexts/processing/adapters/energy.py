"""Finds speech by loudness alone: for machines without a model, and as a twin for tests."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.processing.adapters.voice_spans import (
    FRAME_SAMPLES,
    OFF,
    ON,
    Probabilities,
    voice_spans,
)
from stretto.contexts.processing.model import Samples

_BEGIN_DB: Final = 9.0
_STAY_DB: Final = 6.0
"""Speech begins 9 dB above the noise floor and ends under 6 dB above it."""

_SILENCE_DBFS: Final = -60.0
"""Nothing quieter counts as noise: digital silence would make a floor of minus infinity."""

_FLOOR_PERCENTILE: Final = 10
_FLOOR_FRAMES: Final = SAMPLE_RATE_HZ // FRAME_SAMPLES
_FLOOR_REACH: Final = 5
"""The floor is the lowest of the 10th percentiles of the seconds up to 5 s around."""

_BLOCK_SAMPLES: Final = 312 * FRAME_SAMPLES

_Levels = npt.NDArray[np.float32]


class EnergyDetector:
    """Takes for speech what is clearly louder than the quiet moments around it.

    Steady noise, hum and tones are not speech; music with pauses passes for it, which a model
    would know better.
    """

    def find(self, samples: Samples) -> tuple[Span, ...]:
        if not len(samples):
            return ()
        levels = _levels_dbfs(samples)
        return voice_spans(_scores(levels - _noise_floor(levels)), samples=len(samples))


def _levels_dbfs(samples: Samples) -> _Levels:
    """Root mean square of each frame in dB relative to full scale, converted block by block."""
    found: list[_Levels] = []
    for start in range(0, len(samples), _BLOCK_SAMPLES):
        block = samples[start : start + _BLOCK_SAMPLES]
        whole = len(block) - len(block) % FRAME_SAMPLES
        frames = block[:whole].reshape(-1, FRAME_SAMPLES).astype(np.float32)
        powers = np.square(frames).mean(axis=1)
        if whole < len(block):
            powers = np.append(powers, np.square(block[whole:].astype(np.float32)).mean())
        found.append((10 * np.log10(powers / 32_768**2 + 1e-12)).astype(np.float32))
    return np.concatenate(found)


def _noise_floor(levels: _Levels) -> _Levels:
    """The level of the quiet moments around each frame, at least -60 dBFS."""
    seconds = [levels[i : i + _FLOOR_FRAMES] for i in range(0, len(levels), _FLOOR_FRAMES)]
    if len(seconds) > 1 and len(seconds[-1]) < _FLOOR_FRAMES // 2:
        seconds[-2:] = [np.concatenate(seconds[-2:])]  # a few frames have no percentile worth it
    quiet = np.array([np.percentile(s, _FLOOR_PERCENTILE) for s in seconds], np.float32)
    around = np.pad(quiet, _FLOOR_REACH, constant_values=np.inf)
    lowest = np.lib.stride_tricks.sliding_window_view(around, 2 * _FLOOR_REACH + 1).min(axis=1)
    floor = np.repeat(lowest, [len(s) for s in seconds])
    bounded: _Levels = np.maximum(floor, np.float32(_SILENCE_DBFS))
    return bounded


def _scores(excess_db: _Levels) -> Probabilities:
    """A straight line through (6 dB, OFF) and (9 dB, ON), clipped to [0, 1]."""
    slope = (ON - OFF) / (_BEGIN_DB - _STAY_DB)
    scores: Probabilities = np.clip(ON + (excess_db - _BEGIN_DB) * slope, 0, 1).astype(np.float32)
    return scores
