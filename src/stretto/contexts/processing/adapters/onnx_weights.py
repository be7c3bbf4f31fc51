"""Reads the weights out of a model file in ONNX's format, which is Protocol Buffers.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). The
file is taken for hostile: every length is checked against what is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.processing.adapters.onnx_graph import FLOAT

_NUMBER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""How a field is written (Protocol Buffers, "Encoding")."""

_FIXED: Final = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_GRAPH, _INITIALIZER = 7, 5
_DIMENSIONS, _TYPE, _NAME, _RAW = 1, 2, 8, 9

Field = tuple[int, int | memoryview]


def floats_in(model: Path) -> dict[str, npt.NDArray[np.float32]]:
    """All constants of 32-bit floats by their names.

    Raises OSError, and ValueError for a file that is damaged or no model.
    """
    found = {}
    for number, graph in _fields(memoryview(model.read_bytes())):
        if number != _GRAPH or isinstance(graph, int):
            continue
        for inner, tensor in _fields(graph):
            if inner == _INITIALIZER and not isinstance(tensor, int):
                found.update(_floats(tensor))
    return found


def _floats(tensor: memoryview) -> dict[str, npt.NDArray[np.float32]]:
    """The tensor by its name; nothing for one that is of other numbers or kept elsewhere."""
    shape: list[int] = []
    kind, name, raw = 0, "", memoryview(b"")
    for number, value in _fields(tensor):
        if number == _DIMENSIONS:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == _TYPE and isinstance(value, int):
            kind = value
        elif number == _NAME and not isinstance(value, int):
            name = bytes(value).decode()
        elif number == _RAW and not isinstance(value, int):
            raw = value
    if kind != FLOAT or math.prod(shape) * 4 != len(raw):
        return {}
    return {name: np.frombuffer(raw, "<f4").reshape(shape).astype(np.float32)}


def _fields(message: memoryview) -> Iterator[Field]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, how = key >> 3, key & 7
        if how == _NUMBER:
            value, at = _varint(message, at)
            yield number, value
            continue
        if how == _BYTES:
            length, at = _varint(message, at)
        elif how in _FIXED:
            length = _FIXED[how]
        else:
            raise ValueError(f"a field is written in a way that does not exist: {how}")
        if length > len(message) - at:
            raise ValueError("a field ends behind the end of the file")
        yield number, message[at : at + length]
        at += length


def _packed(numbers: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(numbers):
        value, at = _varint(numbers, at)
        found.append(value)
    return found


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number at ``at``, seven bits a byte, and where the next thing begins."""
    value = 0
    for place, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number does not end")
