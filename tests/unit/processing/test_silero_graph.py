"""Silero's network computed here says what its makers' file says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stretto.contexts.processing.adapters.onnx_weights import floats_in
from stretto.contexts.processing.adapters.pyav import PyAvReader
from stretto.contexts.processing.adapters.silero import SileroDetector, _bundled_model
from stretto.contexts.processing.adapters.silero_graph import convolution, silero
from tests import mediagen

onnxruntime = pytest.importorskip("onnxruntime")

FRAME, CONTEXT = 512, 64


@pytest.fixture(scope="module")
def spoken() -> mediagen.Samples:
    """Longer than two blocks, and no whole number of frames."""
    reader = PyAvReader()
    file = reader.open(reader.probe(reader.identify(mediagen.recorded_speech())))
    return np.concatenate(list(file.blocks()))[: 25 * 16_000 + 77]


def as_the_makers_compute_it(samples: mediagen.Samples) -> np.ndarray:
    """The file's own graph, one frame after the other."""
    session = onnxruntime.InferenceSession(
        str(_bundled_model()), providers=["CPUExecutionProvider"]
    )
    state: dict[str, Any] = {name: np.zeros((1, 1, 128), np.float32) for name in "hc"}
    line = np.pad(samples.astype(np.float32) / 32_768, (CONTEXT, -len(samples) % FRAME))
    found = []
    for start in range(0, len(line) - CONTEXT, FRAME):
        frame = line[None, start : start + CONTEXT + FRAME]
        speech, state["h"], state["c"] = session.run(
            ["speech_probs", "hn", "cn"], {"input": frame, **state}
        )
        found.append(speech.reshape(-1))
    return np.concatenate(found)


def test_every_probability_is_that_of_the_file(spoken: mediagen.Samples) -> None:
    ours = SileroDetector()._probabilities(spoken)
    assert ours.max() > 0.9
    assert ours.min() < 0.1
    assert np.allclose(ours, as_the_makers_compute_it(spoken), atol=1e-4)


@pytest.mark.parametrize(("positions", "stride"), [(4, 1), (4, 2), (2, 2), (1, 1)])
def test_a_convolution_is_a_product_with_its_matrix(positions: int, stride: int) -> None:
    dice = np.random.default_rng(positions + stride)
    weight = dice.standard_normal((5, 3, 3), np.float32)
    x = dice.standard_normal((positions, 3), np.float32)
    padded = np.pad(x, ((1, 1), (0, 0)))
    expected = [
        np.einsum("oit,ti->o", weight, padded[start : start + 3])
        for start in range(0, positions, stride)
    ]
    product = x.reshape(-1) @ convolution(weight, positions=positions, stride=stride)
    assert np.allclose(product, np.concatenate(expected), atol=1e-5)


def test_a_file_without_a_weight_is_told_from_one_that_works() -> None:
    weights = floats_in(_bundled_model())
    del weights["decoder.conv1d.bias"]
    with pytest.raises(KeyError):
        silero(weights)
