"""Matrix products in eight bits, as nodes of a graph: less to read, and more at once.

Inputs have one scale for each row and weights one for each output, as in CTranslate2, so that a
row's result does not depend on its neighbours. Inputs are bytes around 128, weights have seven
bits: processors without VNNI add two products in 16 bits, and these always fit (255 * 63 * 2).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.processing.adapters.onnx_graph import BYTE, MICROSOFT, Graph
from stretto.contexts.processing.adapters.whisper.weights import Array

LARGEST_INPUT: Final = np.float32(127)
MIDDLE: Final = np.uint8(128)
MIDDLE_AND_HALF: Final = np.float32(128.5)
LARGEST_WEIGHT: Final = np.float32(63)
SMALLEST_SCALE: Final = np.float32(1e-12)


@dataclass(frozen=True, slots=True)
class Rounded:
    """The names of an input's bytes and of the scales of its rows."""

    values: str
    scale: str


@dataclass(frozen=True, slots=True)
class SevenBits:
    """``values`` of shape (outputs, inputs) from -63 to 63, and the scale of each output."""

    values: npt.NDArray[np.int8]
    scales: Array


@dataclass(frozen=True, slots=True)
class Placed:
    """The names of a weight's values and scales in a graph."""

    values: str
    scales: str


def rounded(graph: Graph, x: str, *, axis: int) -> Rounded:
    """``x`` in bytes; ``axis`` is its last one."""
    largest = graph.node("ReduceMax", graph.node("Abs", x), axes=[axis], keepdims=1)
    scale = graph.node("Mul", largest, graph.constant(1 / LARGEST_INPUT))
    scale = graph.node("Max", scale, graph.constant(SMALLEST_SCALE))
    # A cast drops what is behind the point, so half a step more rounds to the nearest.
    shifted = graph.node("Add", graph.node("Div", x, scale), graph.constant(MIDDLE_AND_HALF))
    return Rounded(graph.node("Cast", shifted, to=BYTE), scale)


def placed(graph: Graph, weight: SevenBits) -> Placed:
    """``weight`` as constants of ``graph``, for as many products as there are."""
    return Placed(graph.constant(weight.values.T), graph.constant(weight.scales))


def product(graph: Graph, inputs: Rounded, weight: Placed) -> str:
    """The product of ``inputs`` and ``weight``, in floats."""
    total = graph.node(
        "MatMulIntegerToFloat",
        inputs.values,
        weight.values,
        graph.constant(np.float32(1)),
        weight.scales,
        graph.constant(MIDDLE),
        domain=MICROSOFT,
    )
    return graph.node("Mul", total, inputs.scale)


def seven_bits(blocks: Iterable[Array]) -> SevenBits:
    """A weight that comes as ``blocks`` of its outputs, each of shape (outputs, inputs)."""
    values, scales = [], []
    for block in blocks:
        largest = np.maximum(block.max(axis=1), -block.min(axis=1))
        scale = np.maximum(largest / LARGEST_WEIGHT, SMALLEST_SCALE)
        scaled = block / scale[:, None]
        values.append(np.rint(scaled, out=scaled).astype(np.int8))
        scales.append(scale)
    return SevenBits(np.concatenate(values), np.concatenate(scales))
