"""The weights of a model file are read as they were written, whatever else is in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stretto.contexts.processing.adapters.onnx_graph import Graph
from stretto.contexts.processing.adapters.onnx_weights import floats_in

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)


def model() -> bytes:
    graph = Graph()
    graph.constant(np.array([1, 2], np.int64))
    y = graph.node("MatMul", "x", graph.constant(MATRIX))
    return graph.model(inputs={"x": ["rows", 2]}, outputs=[y])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def test_floats_come_with_their_names_and_shapes_and_nothing_else_comes(path: Path) -> None:
    path.write_bytes(model())
    found = floats_in(path)
    assert len(found) == 1
    (matrix,) = found.values()
    assert np.array_equal(matrix, MATRIX)
    assert matrix.shape == MATRIX.shape


@pytest.mark.parametrize("length", range(1, len(model()), 7))
def test_a_file_that_is_cut_off_is_refused_or_has_fewer_weights(path: Path, length: int) -> None:
    path.write_bytes(model()[:length])
    try:
        found = floats_in(path)
    except ValueError:
        return
    assert not found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(at=st.integers(0, len(model()) - 1), byte=st.integers(0, 255))
def test_a_damaged_byte_is_a_value_error_at_most(path: Path, at: int, byte: int) -> None:
    damaged = bytearray(model())
    damaged[at] = byte
    path.write_bytes(damaged)
    try:
        found = floats_in(path)
    except ValueError:
        return
    assert all(matrix.nbytes <= len(damaged) for matrix in found.values())


@given(rubbish=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rubbish_holds_nothing(path: Path, rubbish: bytes) -> None:
    path.write_bytes(rubbish)
    try:
        found = floats_in(path)
    except ValueError:
        return
    assert all(matrix.nbytes <= len(rubbish) for matrix in found.values())
