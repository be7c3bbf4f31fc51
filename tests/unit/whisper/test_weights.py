"""Reading CTranslate2's model files, good and bad."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from stretto.contexts.core.errors import EngineUnavailable
from stretto.contexts.processing.adapters.whisper.weights import TYPES, Weights

HALVES = np.array([[1.0, -2.0], [0.5, 4.0]], np.float16)
BYTES = np.array([[100, -50], [10, 127]], np.int8)
SCALES = np.array([100.0, 10.0], np.float32)


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def variable(name: str, value: np.ndarray) -> bytes:
    return (
        text(name)
        + struct.pack("<B", value.ndim)
        + b"".join(struct.pack("<I", size) for size in value.shape)
        + struct.pack("<BI", TYPES.index(value.dtype.type), value.nbytes)
        + value.tobytes()
    )


def model(*variables: bytes, version: int = 6, name: str = "WhisperSpec") -> bytes:
    head = struct.pack("<I", version) + text(name) + struct.pack("<II", 3, len(variables))
    alias = struct.pack("<I", 1) + text("decoder/projection/weight") + text("half")
    return head + b"".join(variables) + alias


WHOLE = model(
    variable("half", HALVES),
    variable("byte", BYTES),
    variable("byte_scale", SCALES),
    variable("heads", np.array(6, np.int16)),
    variable("encoder/layer_0/bias", SCALES),
    variable("encoder/layer_1/bias", SCALES),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.bin"


def test_half_precision_comes_as_floats(path: Path) -> None:
    path.write_bytes(WHOLE)
    floats = Weights(path).floats("half")
    assert floats.dtype == np.float32
    assert np.array_equal(floats, HALVES)


def test_eight_bits_are_scaled_row_by_row(path: Path) -> None:
    path.write_bytes(WHOLE)
    assert np.allclose(Weights(path).floats("byte"), [[1.0, -0.5], [1.0, 12.7]])


def test_an_alias_is_the_same_variable(path: Path) -> None:
    path.write_bytes(WHOLE)
    weights = Weights(path)
    assert np.array_equal(weights.floats("decoder/projection/weight"), HALVES)
    assert weights.number("heads") == 6


def test_layers_are_counted(path: Path) -> None:
    path.write_bytes(WHOLE)
    assert Weights(path).layers("encoder") == 2
    assert Weights(path).layers("decoder") == 0


def test_what_was_forgotten_can_be_read_again(path: Path) -> None:
    path.write_bytes(WHOLE)
    weights = Weights(path)
    weights.forget()
    assert np.array_equal(weights.floats("half"), HALVES)


def test_a_missing_variable_is_named(path: Path) -> None:
    path.write_bytes(WHOLE)
    with pytest.raises(EngineUnavailable, match="lacks decoder/embeddings"):
        Weights(path).floats("decoder/embeddings")


@pytest.mark.parametrize("size", range(0, len(WHOLE), 7))
def test_a_truncated_file_is_refused(path: Path, size: int) -> None:
    path.write_bytes(WHOLE[:size])
    with pytest.raises(EngineUnavailable, match="Install it again"):
        Weights(path)


@pytest.mark.parametrize(
    "damaged",
    [
        model(version=7),
        model(name="TransformerSpec"),
        model(text("x") + struct.pack("<BBI", 0, 9, 4) + b"1234"),
        model(text("x") + struct.pack("<BIBI", 1, 5, 0, 4) + b"1234"),
        model(text("x") + struct.pack("<B", 200)),
        b"\xff" * 200,
        b"{}",
    ],
)
def test_what_is_no_whisper_model_is_refused(path: Path, damaged: bytes) -> None:
    path.write_bytes(damaged)
    with pytest.raises(EngineUnavailable, match=r"model\.bin"):
        Weights(path)
