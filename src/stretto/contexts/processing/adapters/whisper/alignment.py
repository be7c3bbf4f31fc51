"""From the decoder's attention to the path of the text through the sound.

As in the reference implementation of Whisper (``whisper/timing.py``): the weights of the heads that
follow the sound are normalised over the tokens, smoothed, averaged, and searched for the cheapest
path by dynamic time warping (Sakoe and Chiba 1978).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stretto.contexts.processing.adapters.whisper.weights import Array


def path_through(attention: Array) -> list[tuple[int, int]]:
    """Pairs (token, encoder step), both non-decreasing, from (0, 0) to the last of both.

    ``attention`` has the shape (heads, tokens, steps).
    """
    if attention.shape[1] == 0 or attention.shape[2] == 0:
        return []
    spread = attention.std(axis=1, keepdims=True)
    normal = (attention - attention.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-10)
    # Token by token: what is being exchanged stays in the processor's cache.
    return warped(-np.stack([_smoothed(token).mean(axis=0) for token in normal.swapaxes(0, 1)]))


def _smoothed(values: Array) -> Array:
    """The median of the three steps around each, the ends mirrored; the reference takes seven steps
    of half the length."""
    if values.shape[-1] < 2:
        return values
    around = [(0, 0)] * (values.ndim - 1) + [(1, 1)]
    padded = np.pad(values, around, mode="reflect")
    before, at, after = padded[..., :-2], padded[..., 1:-1], padded[..., 2:]
    median: Array = np.maximum(np.minimum(before, at), np.minimum(np.maximum(before, at), after))
    return median


def warped(cost: Array) -> list[tuple[int, int]]:
    """The cheapest path through ``cost`` of shape (tokens, steps), each move one token, one step,
    or both further.

    A row is computed at once: moving along it costs the difference of the row's running sum, so
    the best entry into it is a running minimum.
    """
    tokens, steps = cost.shape
    total = np.full((tokens + 1, steps + 1), np.inf)
    total[0, 0] = 0.0
    for token in range(tokens):
        above = total[token]
        entry = np.minimum(above[:-1], above[1:])
        running = np.cumsum(cost[token], dtype=np.float64)
        before = np.concatenate(([0.0], running[:-1]))
        total[token + 1, 1:] = running + np.minimum.accumulate(entry - before)
    return _traced(total)


def _traced(total: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    token, step = total.shape[0] - 1, total.shape[1] - 1
    path = []
    while token > 0 and step > 0:
        path.append((token - 1, step - 1))
        both, up, left = total[token - 1, step - 1], total[token - 1, step], total[token, step - 1]
        if both <= up and both <= left:
            token, step = token - 1, step - 1
        elif up <= left:
            token -= 1
        else:
            step -= 1
    return path[::-1]
