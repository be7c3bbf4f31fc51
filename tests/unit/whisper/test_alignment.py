"""The path of a text through the sound."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stretto.contexts.processing.adapters.whisper.alignment import (
    _smoothed,
    path_through,
    warped,
)

costs = st.tuples(st.integers(1, 5), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-9, 9).map(float))
)


def cheapest(cost: np.ndarray) -> float:
    """By trying every path."""
    tokens, steps = cost.shape

    def least(token: int, step: int) -> float:
        if token < 0 or step < 0:
            return np.inf
        here = float(cost[token, step])
        if token == step == 0:
            return here
        moves = ((token - 1, step - 1), (token - 1, step), (token, step - 1))
        return here + min(least(*move) for move in moves)

    return least(tokens - 1, steps - 1)


@given(costs)
def test_no_path_is_cheaper(cost: np.ndarray) -> None:
    path = warped(cost)
    assert sum(cost[place] for place in path) == pytest.approx(cheapest(cost))


@given(costs)
def test_a_path_goes_from_corner_to_corner_in_single_steps(cost: np.ndarray) -> None:
    path = warped(cost)
    assert path[0] == (0, 0)
    assert path[-1] == (cost.shape[0] - 1, cost.shape[1] - 1)
    moves = {(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(path)}
    assert moves <= {(0, 1), (1, 0), (1, 1)}


@given(arrays(np.float32, (2, 3, 11), elements=st.floats(-5, 5, width=32)))
def test_smoothing_takes_the_median_of_three(values: np.ndarray) -> None:
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=-1)
    assert np.array_equal(_smoothed(values), np.median(windows, axis=-1))


def test_attention_that_walks_is_followed() -> None:
    tokens, steps = 5, 50
    attention = np.full((2, tokens, steps), 0.001, np.float32)
    for token in range(tokens):
        attention[:, token, token * 10 : token * 10 + 10] = 0.1
    starts: dict[int, int] = {}
    for token, step in path_through(attention):
        starts.setdefault(token, step)
    assert all(abs(starts[token] - token * 10) <= 1 for token in range(tokens))


@pytest.mark.parametrize("shape", [(2, 0, 5), (2, 5, 0)])
def test_nothing_said_or_heard_has_no_path(shape: tuple[int, int, int]) -> None:
    assert path_through(np.zeros(shape, np.float32)) == []


def test_a_window_shorter_than_the_smoothing_has_a_path() -> None:
    path = path_through(np.random.default_rng(1).random((1, 2, 3), np.float32))
    assert path[0] == (0, 0)
    assert path[-1] == (1, 2)
