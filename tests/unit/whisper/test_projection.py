"""The product with the vocabulary in eight bits."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from stretto.contexts.processing.adapters.whisper.projection import Projection

TOKENS, WIDTH = 5_000, 64


@pytest.fixture(scope="module")
def weight() -> np.ndarray:
    dice = np.random.default_rng(3)
    return dice.standard_normal((TOKENS, WIDTH), np.float32) * dice.uniform(0.01, 2, (TOKENS, 1))


@pytest.fixture(scope="module")
def projection(weight: np.ndarray) -> Projection:
    return Projection(weight.astype(np.float32))


@pytest.fixture
def rows() -> np.ndarray:
    dice = np.random.default_rng(4)
    return dice.standard_normal((6, WIDTH)).astype(np.float32) * np.float32(3)


def test_it_is_the_product_to_within_two_percent(projection, weight, rows) -> None:
    exact = rows @ weight.T
    assert np.abs(projection(rows) - exact).mean() <= 0.02 * np.abs(exact).mean()


def test_a_row_does_not_depend_on_its_neighbours(projection, rows) -> None:
    loud = np.concatenate([rows, 1000 * rows])
    together = projection(loud)
    for number, row in enumerate(loud):
        assert np.array_equal(projection(row[None])[0], together[number])


def test_a_row_of_zeros_has_zeros(projection) -> None:
    assert not projection(np.zeros((2, WIDTH), np.float32)).any()


def test_a_token_without_weight_is_no_trouble(weight) -> None:
    empty = weight.astype(np.float32).copy()
    empty[7] = 0
    logits = Projection(empty)(np.ones((1, WIDTH), np.float32))
    assert logits[0, 7] == 0
    assert np.isfinite(logits).all()
