"""Turns a row of speech probabilities into spans of speech: the part all voice detectors share."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span

FRAME_SAMPLES: Final = 512
"""32 ms: the frame that Silero was trained on."""

ON: Final = 0.5
OFF: Final = 0.35
"""Speech begins at ``ON`` and goes on until the probability falls below ``OFF``."""

SHORTEST_PAUSE: Final = int(0.3 * SAMPLE_RATE_HZ)
SHORTEST_SPEECH: Final = int(0.1 * SAMPLE_RATE_HZ)
PADDING: Final = int(0.2 * SAMPLE_RATE_HZ)

Probabilities = npt.NDArray[np.float32]
"""One value in [0, 1] for each frame of 512 samples."""


def voice_spans(probabilities: Probabilities, *, samples: int) -> tuple[Span, ...]:
    """Ordered, disjoint spans inside ``[0, samples)``.

    Pauses under 0.3 s are part of the speech around them, speech under 0.1 s is dropped, and
    what remains gets 0.2 s on both sides, because soft onsets and endings fall under the threshold.
    """
    raw = [(a, b) for a, b in _runs(_is_speech(probabilities)) if a < samples]
    spoken = [(a, b) for a, b in _joined(raw, gap=SHORTEST_PAUSE) if b - a >= SHORTEST_SPEECH]
    padded = [(max(0, a - PADDING), min(samples, b + PADDING)) for a, b in spoken]
    return tuple(Span(a, b) for a, b in _joined(padded, gap=1))


def _is_speech(probabilities: Probabilities) -> npt.NDArray[np.bool_]:
    """Hysteresis without a loop: a frame between the thresholds repeats the last clear one."""
    clear = (probabilities >= ON) | (probabilities < OFF)
    last_clear = np.maximum.accumulate(np.where(clear, np.arange(len(probabilities)), -1))
    speech: npt.NDArray[np.bool_] = (last_clear >= 0) & (probabilities[last_clear] >= ON)
    return speech


def _runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where ``flags`` are set, as pairs of samples (start, end)."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)) * FRAME_SAMPLES
    return list(zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True))


def _joined(spans: list[tuple[int, int]], *, gap: int) -> list[tuple[int, int]]:
    """Spans less than ``gap`` samples apart become one."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
