"""Whisper's encoder in onnxruntime: from a spectrogram to what the decoder listens to."""

from __future__ import annotations

from typing import Final

import numpy as np

from stretto.contexts.processing.adapters.whisper.onnx_graph import MICROSOFT, Graph
from stretto.contexts.processing.adapters.whisper.onnx_session import opened
from stretto.contexts.processing.adapters.whisper.weights import Array, Weights

EPSILON: Final = 1e-5


class Encoder:
    """Safe to call from many threads at once; each call runs on the thread that makes it."""

    def __init__(self, weights: Weights) -> None:
        self._position = weights.floats("encoder/position_encodings/encodings")
        self._session = opened(_model(weights))

    def __call__(self, mel: Array) -> Array:
        """``mel`` of shape (bands, frames), frames even and at most 3000; answers with shape
        (frames / 2, width)."""
        position = self._position[: mel.shape[1] // 2]
        (encoded,) = self._session.run(None, {"mel": mel[None], "position": position})
        found: Array = encoded[0]
        return found


def _model(weights: Weights) -> bytes:
    """Radford et al. 2022, section 2.2: two convolutions, then residual blocks."""
    graph = Graph()
    x = "mel"
    for name, stride in (("conv1", 1), ("conv2", 2)):
        kernel, bias = (
            graph.constant(weights.floats(f"encoder/{name}/{part}")) for part in ("weight", "bias")
        )
        x = graph.node("Conv", x, kernel, bias, kernel_shape=[3], pads=[1, 1], strides=[stride])
        x = graph.node("Gelu", x, domain=MICROSOFT)
    x = graph.node("Add", graph.node("Transpose", x, perm=[0, 2, 1]), "position")
    for number in range(weights.layers("encoder")):
        x = _block(graph, weights, x, f"encoder/layer_{number}")
    x = _normalised(graph, weights, x, "encoder/layer_norm")
    bands = weights["encoder/conv1/weight"].shape[1]
    width = weights["encoder/conv1/weight"].shape[0]
    inputs = {"mel": ["batch", bands, "frames"], "position": ["steps", width]}
    return graph.model(inputs=inputs, output=x)


def _block(graph: Graph, weights: Weights, x: str, place: str) -> str:
    heard = _attention(
        graph,
        weights,
        _normalised(graph, weights, x, f"{place}/self_attention/layer_norm"),
        f"{place}/self_attention",
    )
    x = graph.node("Add", x, heard)
    y = _normalised(graph, weights, x, f"{place}/ffn/layer_norm")
    y = graph.node("Gelu", _linear(graph, weights, y, f"{place}/ffn/linear_0"), domain=MICROSOFT)
    return graph.node("Add", x, _linear(graph, weights, y, f"{place}/ffn/linear_1"))


def _attention(graph: Graph, weights: Weights, x: str, place: str) -> str:
    """onnxruntime's MultiHeadAttention walks over the steps in tiles (Dao et al. 2022), so that
    the 1500 x 1500 weights of each head never exist at once."""
    joint = weights.floats(f"{place}/linear_0/weight")  # queries above keys above values
    parts = [graph.node("MatMul", x, graph.constant(part.T)) for part in np.split(joint, 3, axis=0)]
    bias = graph.constant(weights.floats(f"{place}/linear_0/bias"))
    heads = weights.number("encoder/num_heads")
    y = graph.node("MultiHeadAttention", *parts, bias, domain=MICROSOFT, num_heads=heads)
    return _linear(graph, weights, y, f"{place}/linear_1")


def _linear(graph: Graph, weights: Weights, x: str, place: str) -> str:
    y = graph.node("MatMul", x, graph.constant(weights.floats(f"{place}/weight").T))
    return graph.node("Add", y, graph.constant(weights.floats(f"{place}/bias")))


def _normalised(graph: Graph, weights: Weights, x: str, place: str) -> str:
    scale, shift = (graph.constant(weights.floats(f"{place}/{p}")) for p in ("gamma", "beta"))
    return graph.node("LayerNormalization", x, scale, shift, epsilon=EPSILON)
