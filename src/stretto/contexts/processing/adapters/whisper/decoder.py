"""Whisper's decoder: one step for many hypotheses of many windows at once.

Attention, which has a shape of its own for each row, is numpy; what lies between is onnxruntime.

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

from stretto.contexts.processing.adapters.onnx_session import opened
from stretto.contexts.processing.adapters.whisper.decoder_graphs import DecoderGraphs
from stretto.contexts.processing.adapters.whisper.memory import touched_in_parts
from stretto.contexts.processing.adapters.whisper.weights import Array, Weights

POSITIONS: Final = 448

Heard: TypeAlias = tuple[Array, Array]
"""What one window sounds like to the layers: keys (layers, heads, depth, steps), values (layers,
heads, steps, depth)."""


class Rows:
    """The keys and values of what each row has said; rows 0 to ``count`` are in use, without
    holes, so that a step sees them as one array."""

    def __init__(
        self, *, layers: int, most: int, heads: int, depth: int, positions: int, tokens: int
    ) -> None:
        shape = (2, layers, most, heads, positions, depth)
        self.keys, self.values = touched_in_parts(shape)
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
        self.vocabulary_size = len(weights["decoder/projection/weight"])
        graphs = DecoderGraphs(weights)
        self._listen = opened(graphs.listen())
        self._begin = opened(graphs.begin())
        self._layers = [
            (opened(graphs.after_recalling(number)), opened(graphs.after_hearing(number)))
            for number in range(graphs.count)
        ]
        self._following: dict[int, list[int]] = {}
        for layer, head in alignment_heads:
            self._following.setdefault(int(layer), []).append(int(head))

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
        keys, values = self._listen.run(None, {"encoded": encoded})
        return keys, values

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
        (asked,) = self._begin.run(None, {"x": x})
        for number, (after_recalling, after_hearing) in enumerate(self._layers):
            found = self._recall(rows, number, asked, future[:, None])
            x, queries = after_recalling.run(None, {"x": x, "found": found})
            found = self._hear(number, queries, windows, attention)
            x, asked = after_hearing.run(None, {"x": x, "found": found})
        rows.lengths[:count] += 1
        logits: Array = asked  # what follows the last layer is the vocabulary
        return logits, attention

    def _embedded(self, tokens: npt.NDArray[np.int64]) -> Array:
        found: Array = np.asarray(self._embedding[tokens]).astype(np.float32)
        if self._scales is not None:
            found /= self._scales[tokens][:, None]
        return found

    def _recall(self, rows: Rows, number: int, asked: Array, future: Array) -> Array:
        """Self-attention over what each row has said; ``asked`` has queries, keys and values."""
        count, latest = len(asked), future.shape[-1]
        new = asked.reshape(count, 3, self._heads, self._depth)
        at = np.arange(count), slice(None), rows.lengths[:count]
        rows.keys[number][at] = new[:, 1]
        rows.values[number][at] = new[:, 2]
        keys = rows.keys[number, :count, :, :latest]
        weights = np.matmul(keys, new[:, 0, :, :, None])[..., 0] + future
        softmax(weights)
        found: Array = np.matmul(weights[:, :, None], rows.values[number, :count, :, :latest])
        return found.reshape(count, self.width)

    def _hear(
        self,
        number: int,
        queries: Array,
        windows: Sequence[Listening],
        attention: list[list[Array]],
    ) -> Array:
        """Cross-attention: each row listens to its window."""
        following = self._following.get(number)
        queries = queries.reshape(-1, self._heads, 1, self._depth)
        found = np.empty_like(queries)
        for window in windows:
            keys, values = window.heard[0][number], window.heard[1][number]
            for row in window.rows:  # one after the other: for few rows quicker than together
                weights = np.matmul(queries[row], keys)
                softmax(weights)
                np.matmul(weights, values, out=found[row])
                if following:
                    attention[row].append(weights[following, 0, : window.steps])
        return found.reshape(-1, self.width)


def softmax(values: Array) -> None:
    """In place, along the last axis."""
    values -= values.max(-1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(-1, keepdims=True)


def _row_scales(weights: Weights, name: str) -> Array | None:
    return weights.floats(f"{name}_scale") if weights[name].dtype == np.int8 else None
