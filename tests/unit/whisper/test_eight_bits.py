"""Matrix products in eight bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from stretto.contexts.processing.adapters.onnx_graph import Graph
from stretto.contexts.processing.adapters.onnx_session import opened
from stretto.contexts.processing.adapters.whisper.eight_bits import (
    placed,
    product,
    rounded,
    seven_bits,
)

OUTPUTS, WIDTH = 5_000, 64
Product = Callable[[np.ndarray], np.ndarray]


def product_with(*blocks: np.ndarray) -> Product:
    graph = Graph()
    y = product(graph, rounded(graph, "x", axis=1), placed(graph, seven_bits(blocks)))
    session = opened(graph.model(inputs={"x": ["rows", WIDTH]}, outputs=[y]))
    return lambda x: np.asarray(session.run(None, {"x": x})[0])


@pytest.fixture(scope="module")
def weight() -> np.ndarray:
    dice = np.random.default_rng(3)
    loud = dice.uniform(0.01, 2, (OUTPUTS, 1)).astype(np.float32)
    return dice.standard_normal((OUTPUTS, WIDTH), np.float32) * loud


@pytest.fixture(scope="module")
def multiply(weight: np.ndarray) -> Product:
    return product_with(weight)


@pytest.fixture
def rows() -> np.ndarray:
    dice = np.random.default_rng(4)
    return dice.standard_normal((6, WIDTH)).astype(np.float32) * np.float32(3)


def test_it_is_the_product_to_within_two_percent(multiply, weight, rows) -> None:
    exact = rows @ weight.T
    assert np.abs(multiply(rows) - exact).mean() <= 0.02 * np.abs(exact).mean()


def test_a_row_does_not_depend_on_its_neighbours(multiply, rows) -> None:
    loud = np.concatenate([rows, 1000 * rows])
    together = multiply(loud)
    for number, row in enumerate(loud):
        assert np.array_equal(multiply(row[None])[0], together[number])


def test_a_row_of_zeros_has_zeros(multiply) -> None:
    assert not multiply(np.zeros((2, WIDTH), np.float32)).any()


def test_an_output_without_weight_is_no_trouble(weight) -> None:
    empty = weight.copy()
    empty[7] = 0
    found = product_with(empty)(np.ones((1, WIDTH), np.float32))
    assert found[0, 7] == 0
    assert np.isfinite(found).all()


def test_the_blocks_of_a_weight_change_nothing(multiply, weight, rows) -> None:
    assert np.array_equal(product_with(weight[:999], weight[999:])(rows), multiply(rows))


def test_the_largest_sums_are_not_cut_off() -> None:
    """Processors without VNNI add pairs of products in 16 bits: all of them at their largest."""
    multiply = product_with(np.ones((1, WIDTH), np.float32))
    for sign in (-1.0, 1.0):
        row = np.full((1, WIDTH), sign, np.float32)
        assert multiply(row)[0, 0] == pytest.approx(sign * WIDTH, rel=1e-6)
