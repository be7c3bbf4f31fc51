"""Silero's network (v6) written anew, so that all frames of a block are worked on at once.

The file's own graph convolves each frame for itself, over four positions; as products with plain
matrices the same sums take a third of the time. The weights are those of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.processing.adapters.onnx_graph import Graph

Array = npt.NDArray[np.float32]

WINDOW: Final = 256
WINDOWS: Final = 4
"""A frame is heard in windows of 256 samples, each 128 samples after the one before it."""

STATE: Final = 128
STRIDES: Final = (1, 2, 2, 1)
"""Of the four convolutions; each hears three neighbours and leaves 4, 2, 1 and 1 positions."""


def silero(weights: Mapping[str, Array]) -> bytes:
    """A graph from ``windows`` (frames * 4, 256) and the states ``h`` and ``c`` (1, 1, 128) to the
    probability of speech in each frame (frames, 1, 1), and both states after the last.

    Raises KeyError where a weight is missing, ValueError where one has another shape.
    """
    graph = Graph()
    x = _spectrum(graph, weights["encoder.feature_extractor.forward_basis_buffer"])
    positions = WINDOWS
    for layer, stride in enumerate(STRIDES):
        place = f"encoder.conv_layers.{layer}"
        weight, bias = weights[f"{place}.weight"], weights[f"{place}.bias"]
        matrix = convolution(weight, positions=positions, stride=stride)
        positions = matrix.shape[1] // len(bias)
        rows = graph.node("Reshape", x, _shape(graph, -1, len(matrix)))
        total = graph.node("MatMul", rows, graph.constant(matrix))
        shifts = graph.constant(np.tile(bias, positions))
        x = graph.node("Relu", graph.node("Add", total, shifts))
    x = graph.node("Reshape", x, _shape(graph, -1, 1, STATE))
    gates = (graph.constant(weights[f"onnx::LSTM_{number}"]) for number in (209, 210, 211))
    x, h, c = graph.nodes("LSTM", x, *gates, "", "h", "c", outputs=3, hidden_size=STATE)
    weight, bias = weights["decoder.conv1d.weight"], weights["decoder.conv1d.bias"]
    x = graph.node("Reshape", graph.node("Relu", x), _shape(graph, -1, STATE))
    x = graph.node("MatMul", x, graph.constant(weight.reshape(1, STATE).T))
    x = graph.node("Sigmoid", graph.node("Add", x, graph.constant(bias)))
    inputs: dict[str, list[int | str]] = {
        "windows": ["windows", WINDOW],
        "h": [1, 1, STATE],
        "c": [1, 1, STATE],
    }
    return graph.model(inputs=inputs, outputs=[x, h, c])


def convolution(weight: Array, *, positions: int, stride: int) -> Array:
    """The matrix of a convolution over ``positions``, with a zero before the first and one behind
    the last: shape (positions * inputs, results * outputs) from (outputs, inputs, 3)."""
    outputs, inputs, taps = weight.shape
    starts = range(0, positions, stride)
    matrix = np.zeros((positions, inputs, len(starts), outputs), np.float32)
    for result, start in enumerate(starts):
        for tap in range(taps):
            if 0 <= (heard := start + tap - 1) < positions:
                matrix[heard, :, result] = weight[:, :, tap].T
    return matrix.reshape(positions * inputs, len(starts) * outputs)


def _spectrum(graph: Graph, basis: Array) -> str:
    """How loud each frequency is in each window; ``basis`` has cosines above sines."""
    cosines, sines = (
        graph.node("MatMul", "windows", graph.constant(half.reshape(-1, WINDOW).T))
        for half in np.split(basis, 2)
    )
    power = (graph.node("Mul", part, part) for part in (cosines, sines))
    return graph.node("Sqrt", graph.node("Add", *power))


def _shape(graph: Graph, *sizes: int) -> str:
    return graph.constant(np.array(sizes, np.int64))
