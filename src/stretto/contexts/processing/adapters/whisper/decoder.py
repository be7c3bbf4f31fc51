"""Whisper's decoder in numpy: one step for many hypotheses of many windows at once.

On a processor a step is bound by what it reads: the weights once for all rows, and of each window
what the encoder heard, once for all hypotheses of the window. So all windows of a batch take their
steps together, and each window has only as many rows as it has hypotheses worth following.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from stretto.contexts.processing.adapters.whisper.projection import Projection
from stretto.contexts.processing.adapters.whisper.weights import Array, Weights

EPSILON: Final = np.float32(1e-5)
POSITIONS: Final = 448

Heard: TypeAlias = tuple[tuple[Array, Array], ...]
"""What one window sounds like to each layer: keys (heads, depth, steps), values (heads, steps,
depth)."""


@dataclass(frozen=True, slots=True)
class Linear:
    weight: Array  # (inputs, outputs)
    bias: Array

    def __call__(self, x: Array) -> Array:
        y: Array = x @ self.weight
        y += self.bias
        return y


@dataclass(frozen=True, slots=True)
class Normalisation:
    scale: Array
    shift: Array

    def __call__(self, x: Array) -> Array:
        """Ba, Kiros and Hinton, "Layer Normalization", 2016."""
        y: Array = x - x.mean(-1, keepdims=True)
        y /= np.sqrt(np.square(y).mean(-1, keepdims=True) + EPSILON)
        y *= self.scale
        y += self.shift
        return y


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    before_self: Normalisation
    self_in: Linear  # queries, keys, values
    self_out: Linear
    before_cross: Normalisation
    cross_queries: Linear
    cross_heard: Linear  # keys, values
    cross_out: Linear
    before_feed: Normalisation
    feed_in: Linear
    feed_out: Linear


class Rows:
    """The keys and values of what each row has said; rows 0 to ``count`` are in use, without
    holes, so that a step sees them as one array."""

    def __init__(
        self, *, layers: int, most: int, heads: int, depth: int, positions: int, tokens: int
    ) -> None:
        shape = (2, layers, most, heads, positions, depth)
        self.keys, self.values = np.empty(shape, np.float32)
        self.lengths = np.zeros(most, np.int64)
        self.count = 0
        # Megabytes that every step needs; asking the system for them anew would cost more.
        self.scratch = np.empty((most, tokens), np.float32)

    def open(self) -> int:
        """A row that has said nothing."""
        row, self.count = self.count, self.count + 1
        self.lengths[row] = 0
        return row

    def fork(self, source: int) -> int:
        """A row that has said what ``source`` has."""
        row = self.open()
        self._copy(source, row)
        return row

    def close(self, row: int) -> int:
        """Give up ``row``. The last row takes its place: answers with what its number was."""
        self.count -= 1
        if row != self.count:
            self._copy(self.count, row)
        return self.count

    def _copy(self, source: int, row: int) -> None:
        said = self.lengths[source]
        self.keys[:, row, :, :said] = self.keys[:, source, :, :said]
        self.values[:, row, :, :said] = self.values[:, source, :, :said]
        self.lengths[row] = said


@dataclass(frozen=True, slots=True)
class Listening:
    """The rows of one window. ``steps``: how many encoder steps carry sound, the rest is padding;
    attention is reported for those."""

    heard: Heard
    rows: Sequence[int]
    steps: int


class Decoder:
    """Holds nothing but weights: safe to call from many threads, each with ``Rows`` of its own."""

    def __init__(self, weights: Weights, *, alignment_heads: Sequence[Sequence[int]]) -> None:
        self._embedding = weights["decoder/embeddings/weight"]
        self._scales = _row_scales(weights, "decoder/embeddings/weight")
        self._position = weights.floats("decoder/position_encodings/encodings")
        self._heads = weights.number("decoder/num_heads")
        self.width = int(self._position.shape[1])
        self._depth = self.width // self._heads
        self._layers = [_layer(weights, n, self._depth) for n in range(weights.layers("decoder"))]
        self._last = _normalisation(weights, "decoder/layer_norm")
        self._projection = Projection(weights.floats("decoder/projection/weight"))
        self._following: dict[int, list[int]] = {}
        for layer, head in alignment_heads:
            self._following.setdefault(int(layer), []).append(int(head))

    @property
    def vocabulary_size(self) -> int:
        return self._projection.tokens

    def rows(self, most: int, *, positions: int = POSITIONS) -> Rows:
        return Rows(
            layers=len(self._layers),
            most=most,
            heads=self._heads,
            depth=self._depth,
            positions=min(positions, POSITIONS),
            tokens=self.vocabulary_size,
        )

    def listen(self, encoded: Array) -> Heard:
        """Prepare one window; ``encoded`` has the shape (steps, width)."""
        found = []
        for layer in self._layers:
            both = layer.cross_heard(encoded)
            both = both.reshape(len(encoded), 2, self._heads, self._depth)
            keys = np.ascontiguousarray(both[:, 0].transpose(1, 2, 0))
            found.append((keys, np.ascontiguousarray(both[:, 1].transpose(1, 0, 2))))
        return tuple(found)

    def step(
        self, rows: Rows, tokens: npt.NDArray[np.int64], windows: Sequence[Listening]
    ) -> tuple[Array, list[list[Array]]]:
        """Let each row say one token.

        ``tokens`` has one for each row in use. Answers with each row's logits, of shape (rows,
        vocabulary), and for each row the attention of the heads that follow the sound, a list of
        arrays (heads, steps).
        """
        count = rows.count
        said = rows.lengths[:count]
        x = self._embedded(tokens) + self._position[said]
        latest = int(said.max()) + 1
        future = np.where(np.arange(latest) <= said[:, None], np.float32(0), np.float32(-np.inf))
        attention: list[list[Array]] = [[] for _ in range(count)]
        for number, layer in enumerate(self._layers):
            x += self._recall(layer, rows, number, x, future[:, None])
            following = self._following.get(number)
            x += self._hear(layer, number, x, windows, following, attention)
            x += layer.feed_out(gelu(layer.feed_in(layer.before_feed(x))))
        rows.lengths[:count] += 1
        return self._projection(self._last(x)), attention

    def _embedded(self, tokens: npt.NDArray[np.int64]) -> Array:
        found: Array = np.asarray(self._embedding[tokens]).astype(np.float32)
        if self._scales is not None:
            found /= self._scales[tokens][:, None]
        return found

    def _recall(self, layer: Layer, rows: Rows, number: int, x: Array, future: Array) -> Array:
        """Self-attention over what each row has said."""
        count, latest = len(x), future.shape[-1]
        new = layer.self_in(layer.before_self(x)).reshape(count, 3, self._heads, self._depth)
        at = np.arange(count), slice(None), rows.lengths[:count]
        rows.keys[number][at] = new[:, 1]
        rows.values[number][at] = new[:, 2]
        keys = rows.keys[number, :count, :, :latest]
        weights = np.matmul(keys, new[:, 0, :, :, None])[..., 0] + future
        softmax(weights)
        found = np.matmul(weights[:, :, None], rows.values[number, :count, :, :latest])
        return layer.self_out(found.reshape(count, self.width))

    def _hear(
        self,
        layer: Layer,
        number: int,
        x: Array,
        windows: Sequence[Listening],
        following: list[int] | None,
        attention: list[list[Array]],
    ) -> Array:
        """Cross-attention: each row listens to its window."""
        queries = layer.cross_queries(layer.before_cross(x))
        queries = queries.reshape(len(x), self._heads, 1, self._depth)
        found = np.empty_like(queries)
        for window in windows:
            keys, values = window.heard[number]
            for row in window.rows:  # one after the other: for few rows quicker than together
                weights = np.matmul(queries[row], keys)
                softmax(weights)
                np.matmul(weights, values, out=found[row])
                if following:
                    attention[row].append(weights[following, 0, : window.steps])
        return layer.cross_out(found.reshape(len(x), self.width))


def softmax(values: Array) -> None:
    """In place, along the last axis."""
    values -= values.max(-1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(-1, keepdims=True)


def gelu(x: Array) -> Array:
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016).

    The error function by Abramowitz and Stegun, formula 7.1.26, which is right to 1.5e-7.
    """
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.full_like(t, 1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series *= t
        series += np.float32(coefficient)
    error = 1 - series * t * np.exp(-z * z)
    result: Array = np.float32(0.5) * x * (1 + np.copysign(error, x))
    return result


def _layer(weights: Weights, number: int, depth: int) -> Layer:
    place = f"decoder/layer_{number}"

    def linear(name: str) -> Linear:
        # For few rows, a product along the outputs is twice as fast as one across them.
        weight = np.ascontiguousarray(weights.floats(f"{place}/{name}/weight").T)
        return Linear(weight, weights.floats(f"{place}/{name}/bias"))

    self_in, cross_queries = linear("self_attention/linear_0"), linear("attention/linear_0")
    for queries in (self_in, cross_queries):
        # The scale of the dot products (Vaswani et al. 2017) goes into the queries once for all.
        width = cross_queries.weight.shape[0]
        queries.weight[:, :width] *= np.float32(depth**-0.5)
        queries.bias[:width] *= np.float32(depth**-0.5)
    return Layer(
        before_self=_normalisation(weights, f"{place}/self_attention/layer_norm"),
        self_in=self_in,
        self_out=linear("self_attention/linear_1"),
        before_cross=_normalisation(weights, f"{place}/attention/layer_norm"),
        cross_queries=cross_queries,
        cross_heard=linear("attention/linear_1"),
        cross_out=linear("attention/linear_2"),
        before_feed=_normalisation(weights, f"{place}/ffn/layer_norm"),
        feed_in=linear("ffn/linear_0"),
        feed_out=linear("ffn/linear_1"),
    )


def _normalisation(weights: Weights, place: str) -> Normalisation:
    return Normalisation(weights.floats(f"{place}/gamma"), weights.floats(f"{place}/beta"))


def _row_scales(weights: Weights, name: str) -> Array | None:
    return weights.floats(f"{name}_scale") if weights[name].dtype == np.int8 else None
