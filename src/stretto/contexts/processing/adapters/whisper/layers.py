"""The layers that Whisper's encoder and decoder are made of, as nodes of a graph.

Places are the names of variables in the model file, such as ``decoder/layer_0/ffn``.
"""

from __future__ import annotations

from typing import Final

from stretto.contexts.processing.adapters.onnx_graph import MICROSOFT, Graph
from stretto.contexts.processing.adapters.whisper.eight_bits import (
    Placed,
    Rounded,
    placed,
    product,
    rounded,
    seven_bits,
)
from stretto.contexts.processing.adapters.whisper.weights import Array, Weights

EPSILON: Final = 1e-5


class Layers:
    """Writes layers into ``graph``; ``axis`` is the last one of all values in it."""

    def __init__(self, graph: Graph, weights: Weights, *, axis: int) -> None:
        self.graph = graph
        self.weights = weights
        self._axis = axis
        self._constants: dict[str, str] = {}
        self._placed: dict[str, Placed] = {}

    def normalised(self, x: str, place: str) -> str:
        """Ba, Kiros and Hinton, "Layer Normalization", 2016."""
        scale, shift = (self.constant(f"{place}/{part}") for part in ("gamma", "beta"))
        return self.graph.node("LayerNormalization", x, scale, shift, epsilon=EPSILON)

    def rounded(self, x: str) -> Rounded:
        return rounded(self.graph, x, axis=self._axis)

    def linear(self, x: str | Rounded, place: str) -> str:
        if place not in self._placed:
            weight = self.weights.floats(f"{place}/weight")
            self._placed[place] = placed(self.graph, seven_bits([weight]))
        return self._affine(x, self._placed[place], self.constant(f"{place}/bias"))

    def affine(self, x: str | Rounded, weight: Array, bias: Array) -> str:
        """``weight`` of shape (outputs, inputs), ``bias`` (outputs,)."""
        return self._affine(x, placed(self.graph, seven_bits([weight])), self.graph.constant(bias))

    def _affine(self, x: str | Rounded, weight: Placed, bias: str) -> str:
        inputs = self.rounded(x) if isinstance(x, str) else x
        return self.sum(product(self.graph, inputs, weight), bias)

    def feed_forward(self, x: str, place: str) -> str:
        """``x`` and what the layer adds to it (Vaswani et al. 2017, section 3.3)."""
        y = self.linear(self.normalised(x, f"{place}/layer_norm"), f"{place}/linear_0")
        y = self.graph.node("Gelu", y, domain=MICROSOFT)
        return self.sum(x, self.linear(y, f"{place}/linear_1"))

    def sum(self, x: str, y: str) -> str:
        return self.graph.node("Add", x, y)

    def constant(self, name: str) -> str:
        """What is used several times stands in the graph once."""
        if name not in self._constants:
            self._constants[name] = self.graph.constant(self.weights.floats(name))
        return self._constants[name]
