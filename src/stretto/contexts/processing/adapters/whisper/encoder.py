"""Whisper's encoder in onnxruntime: from a spectrogram to what the decoder listens to."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from stretto.contexts.processing.adapters.onnx_graph import MICROSOFT, Graph
from stretto.contexts.processing.adapters.onnx_session import opened
from stretto.contexts.processing.adapters.whisper.eight_bits import placed, product, seven_bits
from stretto.contexts.processing.adapters.whisper.features import FULL_FRAMES
from stretto.contexts.processing.adapters.whisper.layers import Layers
from stretto.contexts.processing.adapters.whisper.weights import Array, Weights

POOLED_STEPS: Final = 2
FRAMES_PER_STEP: Final = 2 * POOLED_STEPS
"""One step of what the encoder answers with stands for four frames of 10 ms."""

LAYERS_THAT_HEAR_EACH_STEP: Final = 1
"""In the later ones a step attends to the averages of neighbours, half as many as there are."""

STEPS: Final = FULL_FRAMES // 2
TILE: Final = 150


class Encoder:
    """Safe to call from many threads at once; each call runs on the thread that makes it."""

    def __init__(self, weights: Weights) -> None:
        self._position = weights.floats("encoder/position_encodings/encodings")
        self._session = opened(_model(weights))

    def __call__(self, mel: Array) -> Array:
        """``mel`` of shape (bands, frames), frames a multiple of 4 and at most 3000; answers with
        shape (frames / 4, width)."""
        position = self._position[: mel.shape[1] // 2]
        (encoded,) = self._session.run(None, {"mel": mel[None], "position": position})
        found: Array = encoded[0]
        return found


def _model(weights: Weights) -> bytes:
    """Radford et al. 2022, section 2.2: two convolutions, then residual blocks.

    At the end neighbours are averaged: to the decoder, half as many steps sound the same, and to
    listen to them takes half the time and memory.
    """
    graph = Graph()
    layers = Layers(graph, weights, axis=2)
    x = "mel"
    for name, stride in (("conv1", 1), ("conv2", 2)):
        kernel, bias = (layers.constant(f"encoder/{name}/{part}") for part in ("weight", "bias"))
        x = graph.node("Conv", x, kernel, bias, kernel_shape=[3], pads=[1, 1], strides=[stride])
        x = graph.node("Gelu", x, domain=MICROSOFT)
    x = layers.sum(graph.node("Transpose", x, perm=[0, 2, 1]), "position")
    for number in range(weights.layers("encoder")):
        place = f"encoder/layer_{number}"
        pooled = number >= LAYERS_THAT_HEAR_EACH_STEP
        x = _attention(layers, x, f"{place}/self_attention", pooled=pooled)
        # It is four times as wide inside as the rest.
        tiles = [layers.feed_forward(tile, f"{place}/ffn") for tile in _tiles(graph, x)]
        x = graph.node("Concat", *tiles, axis=1)
    x = _pooled(layers, layers.normalised(x, "encoder/layer_norm"))
    width, bands, _ = weights["encoder/conv1/weight"].shape
    inputs = {"mel": ["batch", bands, "frames"], "position": ["steps", width]}
    return graph.model(inputs=inputs, outputs=[x])


def _attention(layers: Layers, x: str, place: str, *, pooled: bool) -> str:
    """onnxruntime's MultiHeadAttention walks over the steps in tiles (Dao et al. 2022), so that
    the 1500 x 1500 weights of each head never exist at once; ``pooled`` halves them."""
    weights, graph = layers.weights, layers.graph
    steps = layers.normalised(x, f"{place}/layer_norm")
    own = layers.rounded(steps)
    heard = layers.rounded(_pooled(layers, steps)) if pooled else own
    joint = weights.floats(f"{place}/linear_0/weight")  # queries above keys above values
    parts = [
        product(graph, inputs, placed(graph, seven_bits([part])))
        for inputs, part in zip((own, heard, heard), np.split(joint, 3), strict=True)
    ]
    bias = layers.constant(f"{place}/linear_0/bias")
    heads = weights.number("encoder/num_heads")
    y = graph.node("MultiHeadAttention", *parts, bias, domain=MICROSOFT, num_heads=heads)
    return layers.sum(x, layers.linear(y, f"{place}/linear_1"))


def _tiles(graph: Graph, x: str) -> list[str]:
    """So many steps at once that what is computed of them stays in the cache of the processor, and
    comes from the heap: larger blocks would be asked for at the system, page by page."""
    ends = [graph.constant(np.array([end], np.int64)) for end in range(0, STEPS + 1, TILE)]
    axis = graph.constant(np.array([1], np.int64))
    return [graph.node("Slice", x, *both, axis) for both in pairwise(ends)]


def _pooled(layers: Layers, x: str) -> str:
    """Averages of neighbouring steps: half as many rows of the same width."""
    graph, width = layers.graph, layers.weights["encoder/conv1/weight"].shape[0]
    pairs = graph.constant(np.array([1, -1, POOLED_STEPS, width], np.int64))
    return graph.node("ReduceMean", graph.node("Reshape", x, pairs), axes=[2], keepdims=0)
