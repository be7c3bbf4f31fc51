"""What Whisper's decoder computes between its attentions, as graphs for onnxruntime.

A layer recalls what was said (self-attention), hears the window (cross-attention) and feeds
forward. Each graph goes from the result of one attention to the queries of the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stretto.contexts.processing.adapters.onnx_graph import Graph
from stretto.contexts.processing.adapters.whisper.eight_bits import placed, product, seven_bits
from stretto.contexts.processing.adapters.whisper.layers import Layers
from stretto.contexts.processing.adapters.whisper.weights import Array, Weights


class DecoderGraphs:
    """Writes the graphs of one model. Values have the shape (rows, width) unless it is said."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._heads = weights.number("decoder/num_heads")
        self._width = int(weights["decoder/position_encodings/encodings"].shape[1])
        self._depth = self._width // self._heads
        self.count = weights.layers("decoder")

    def listen(self) -> bytes:
        """From ``encoded`` (steps, width) to the keys (layers, heads, depth, steps) and the values
        (layers, heads, steps, depth) of all layers."""
        layers = self._layers()
        inputs = layers.rounded("encoded")
        both = [
            [np.split(self._weights.floats(f"{place}/{part}"), 2) for place in self._cross()]
            for part in ("weight", "bias")
        ]
        outputs = []
        for number, order in enumerate(([1, 2, 3, 0], [1, 2, 0, 3])):  # keys, then values
            weight, bias = (np.concatenate([pair[number] for pair in part]) for part in both)
            found = layers.affine(inputs, weight, bias)
            sizes = np.array([-1, self.count, self._heads, self._depth], np.int64)
            found = layers.graph.node("Reshape", found, layers.graph.constant(sizes))
            outputs.append(layers.graph.node("Transpose", found, perm=order))
        return layers.graph.model(inputs={"encoded": ["steps", self._width]}, outputs=outputs)

    def begin(self) -> bytes:
        """From the embedded tokens ``x`` to the first layer's queries, keys and values (rows,
        3 * width)."""
        layers = self._layers()
        return self._model(layers, ["x"], [self._asked(layers, "x", 0)])

    def after_recalling(self, number: int) -> bytes:
        """From ``x`` and what layer ``number`` found in what was said, to the new ``x`` and its
        queries to the window."""
        layers = self._layers()
        place = f"decoder/layer_{number}"
        x = layers.sum("x", layers.linear("found", f"{place}/self_attention/linear_1"))
        weight, bias = self._queries(f"{place}/attention/linear_0")
        normal = layers.normalised(x, f"{place}/attention/layer_norm")
        return self._model(layers, ["x", "found"], [x, layers.affine(normal, weight, bias)])

    def after_hearing(self, number: int) -> bytes:
        """From ``x`` and what layer ``number`` found in the window, to the new ``x`` and the next
        layer's queries, keys and values; behind the last one, to the logits (rows, tokens)."""
        layers = self._layers()
        place = f"decoder/layer_{number}"
        x = layers.sum("x", layers.linear("found", f"{place}/attention/linear_2"))
        x = layers.feed_forward(x, f"{place}/ffn")
        last = number + 1 == self.count
        asked = self._logits(layers, x) if last else self._asked(layers, x, number + 1)
        return self._model(layers, ["x", "found"], [x, asked])

    def _layers(self) -> Layers:
        return Layers(Graph(), self._weights, axis=1)

    def _cross(self) -> list[str]:
        return [f"decoder/layer_{number}/attention/linear_1" for number in range(self.count)]

    def _asked(self, layers: Layers, x: str, number: int) -> str:
        place = f"decoder/layer_{number}/self_attention"
        weight, bias = self._queries(f"{place}/linear_0")
        return layers.affine(layers.normalised(x, f"{place}/layer_norm"), weight, bias)

    def _logits(self, layers: Layers, x: str) -> str:
        normal = layers.rounded(layers.normalised(x, "decoder/layer_norm"))
        weight = seven_bits(self._weights.blocks("decoder/projection/weight"))
        return product(layers.graph, normal, placed(layers.graph, weight))

    def _queries(self, place: str) -> tuple[Array, Array]:
        """Weight and bias; the scale of the dot products (Vaswani et al. 2017) goes into the
        queries, which come first, once for all."""
        weight = self._weights.floats(f"{place}/weight")
        bias = self._weights.floats(f"{place}/bias")
        for part in (weight, bias):
            part[: self._width] *= np.float32(self._depth**-0.5)
        return weight, bias

    def _model(self, layers: Layers, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        shapes: dict[str, Sequence[int | str]] = {name: ["rows", self._width] for name in inputs}
        return layers.graph.model(inputs=shapes, outputs=outputs)
