"""Graphs that we write are graphs that onnxruntime reads."""

from __future__ import annotations

import numpy as np
import pytest

from stretto.contexts.processing.adapters.onnx_graph import MICROSOFT, Graph

onnxruntime = pytest.importorskip("onnxruntime")


def run(model: bytes, **inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, inputs)
    return np.asarray(output)


def test_constants_operators_and_domains_arrive() -> None:
    graph, dice = Graph(), np.random.default_rng(1)
    weight = dice.standard_normal((3, 200), np.float32)
    y = graph.node("MatMul", "x", graph.constant(weight))
    model = graph.model(
        inputs={"x": ["rows", 3]}, outputs=[graph.node("QuickGelu", y, domain=MICROSOFT, alpha=1.0)]
    )
    for rows in (1, 4):
        x = dice.standard_normal((rows, 3), np.float32)
        expected = x @ weight / (1 + np.exp(-(x @ weight)))
        assert np.allclose(run(model, x=x), expected, atol=1e-4)


def test_lists_and_fractions_are_attributes_too() -> None:
    graph = Graph()
    y = graph.node("Transpose", "x", perm=[1, 0])
    model = graph.model(inputs={"x": ["a", "b"]}, outputs=[graph.node("LeakyRelu", y, alpha=0.25)])
    x = np.array([[1, -2, 300]], np.float32)
    assert np.array_equal(run(model, x=x), [[1], [-0.5], [300]])
