"""Writes small computation graphs in ONNX's format, which is Protocol Buffers.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
The package ``onnx`` does the same and much more; importing it takes longer than our model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

IR_VERSION: Final = 8
OPSET: Final = 17
MICROSOFT: Final = "com.microsoft"
"""The domain of onnxruntime's own operators, such as Gelu and MultiHeadAttention."""

FLOAT: Final = 1
BYTE: Final = 2
ELEMENTS: Final = {"float32": FLOAT, "uint8": BYTE, "int8": 3}
"""Element types by their numpy names."""

INTEGER_ATTRIBUTE, FLOAT_ATTRIBUTE, INTEGERS_ATTRIBUTE = 2, 1, 7

Attribute = int | float | Sequence[int]


class Graph:
    """Collects nodes; each method answers with the name of what it computes."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def constant(self, value: npt.NDArray[np.generic]) -> str:
        """``value`` is of 32-bit floats or of bytes, with or without a sign."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(
            b"".join(_number(1, size) for size in value.shape)
            + _number(2, ELEMENTS[value.dtype.name])
            + _text(8, name)
            + _bytes(9, value.tobytes())
        )
        return name

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Attribute) -> str:
        output = f"value_{len(self._nodes)}"
        self._nodes.append(
            b"".join(_text(1, name) for name in inputs)
            + _text(2, output)
            + _text(4, operator)
            + b"".join(_bytes(5, _attribute(*item)) for item in attributes.items())
            + _text(7, domain)
        )
        return output

    def model(self, *, inputs: Mapping[str, Sequence[int | str]], output: str) -> bytes:
        """The whole model. Sizes that differ from call to call are given by a name."""
        graph = (
            b"".join(_bytes(1, node) for node in self._nodes)
            + _text(2, "stretto")
            + b"".join(_bytes(5, constant) for constant in self._constants)
            + b"".join(_bytes(11, _value(name, shape)) for name, shape in inputs.items())
            + _bytes(12, _value(output, None))
        )
        opsets = (("", OPSET), (MICROSOFT, 1))
        return (
            _number(1, IR_VERSION)
            + _bytes(7, graph)
            + b"".join(_bytes(8, _text(1, d) + _number(2, v)) for d, v in opsets)
        )


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, float):
        body = bytes([2 << 3 | 5]) + np.float32(value).tobytes() + _number(20, FLOAT_ATTRIBUTE)
    elif isinstance(value, int):
        body = _number(3, value) + _number(20, INTEGER_ATTRIBUTE)
    else:
        body = b"".join(_number(8, item) for item in value) + _number(20, INTEGERS_ATTRIBUTE)
    return _text(1, name) + body


def _value(name: str, shape: Sequence[int | str] | None) -> bytes:
    tensor = _number(1, FLOAT)
    if shape is not None:
        sizes = (_text(2, s) if isinstance(s, str) else _number(1, s) for s in shape)
        tensor += _bytes(2, b"".join(_bytes(1, size) for size in sizes))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _number(field: int, value: int) -> bytes:
    return bytes([*_varint(field << 3), *_varint(value)])


def _bytes(field: int, value: bytes) -> bytes:
    return bytes([*_varint(field << 3 | 2), *_varint(len(value))]) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _varint(value: int) -> Iterator[int]:
    """Seven bits a byte, the lowest first; ``value`` is not negative."""
    while value > 0x7F:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value
