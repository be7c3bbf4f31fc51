"""The product of the decoder's rows with the whole vocabulary, in eight bits.

It is the largest product of a step, and reading its weights takes most of its time: bytes are a
quarter of what floats are. Weights have one scale for each token and inputs one for each row, as in
CTranslate2, so that a row's result does not depend on its neighbours.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.processing.adapters.whisper.onnx_graph import BYTE, FLOAT, Graph
from stretto.contexts.processing.adapters.whisper.onnx_session import opened
from stretto.contexts.processing.adapters.whisper.weights import Array

LARGEST: Final = np.float32(127)
MIDDLE: Final = 128
"""Inputs and weights are bytes around 128. With signed weights, processors without VNNI add two
products in 16 bits, which do not always fit."""

SMALLEST_SCALE: Final = np.float32(1e-12)
BLOCK_TOKENS: Final = 4096


class Projection:
    """Safe to call from many threads at once."""

    def __init__(self, weight: Array) -> None:
        """``weight`` has the shape (tokens, width)."""
        self.tokens = len(weight)
        self._session = opened(_model(weight))

    def __call__(self, rows: Array) -> Array:
        """Logits of shape (rows, tokens); the array is the caller's."""
        (logits,) = self._session.run(None, {"rows": rows})
        found: Array = logits
        return found


def _model(weight: Array) -> bytes:
    largest_weights = np.maximum(weight.max(axis=1), -weight.min(axis=1))
    scales = np.maximum(largest_weights / LARGEST, SMALLEST_SCALE)
    graph = Graph()
    largest = graph.node("ReduceMax", graph.node("Abs", "rows"), axes=[1], keepdims=1)
    scale = graph.node("Div", largest, graph.constant(np.array(LARGEST)))
    scale = graph.node("Max", scale, graph.constant(np.array(SMALLEST_SCALE)))
    steps = graph.node("Round", graph.node("Div", "rows", scale))
    shifted = graph.node("Add", steps, graph.constant(np.array(MIDDLE, np.float32)))
    middle = graph.constant(np.array(MIDDLE, np.uint8))
    total = graph.node(
        "MatMulInteger",
        graph.node("Cast", shifted, to=BYTE),
        graph.constant(_in_bytes(weight, scales).T),
        middle,
        middle,
    )
    scaled = graph.node("Mul", graph.node("Cast", total, to=FLOAT), graph.constant(scales))
    return graph.model(
        inputs={"rows": ["rows", weight.shape[1]]}, output=graph.node("Mul", scaled, scale)
    )


def _in_bytes(weight: Array, scales: Array) -> npt.NDArray[np.uint8]:
    """Block by block: the whole of it in floats once more would be the largest thing in memory."""
    found = np.empty(weight.shape, np.uint8)
    for start in range(0, len(weight), BLOCK_TOKENS):
        block = slice(start, start + BLOCK_TOKENS)
        found[block] = np.round(weight[block] / scales[block, None]) + MIDDLE
    return found
