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
ELEMENTS: Final = {"float32": FLOAT, "uint8": BYTE, "int8": 3, "int64": 7}
"""Element types by their numpy names."""

INTEGER_ATTRIBUTE, FLOAT_ATTRIBUTE, INTEGERS_ATTRIBUTE = 2, 1, 7

Attribute = int | float | Sequence[int]


Piece = bytes | memoryview


class Graph:
    """Collects nodes; each method answers with the name of what it computes.

    Everything is held in pieces that are joined once, at the end: the weights of a model are much
    of the memory of a process.
    """

    def __init__(self) -> None:
        self._nodes: list[Piece] = []
        self._constants: list[Piece] = []
        self._names = 0

    def constant(self, value: npt.NDArray[np.generic] | np.generic) -> str:
        """``value`` is of 32-bit floats, of bytes with or without a sign, or of 64-bit integers."""
        name = self._name("constant")
        tensor = [
            *(_number(1, size) for size in value.shape),
            _number(2, ELEMENTS[value.dtype.name]),
            _text(8, name),
            *_nested(9, [np.ascontiguousarray(value).reshape(-1).view(np.uint8).data]),
        ]
        self._constants += _nested(5, tensor)
        return name

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Attribute) -> str:
        (output,) = self.nodes(operator, *inputs, outputs=1, domain=domain, **attributes)
        return output

    def nodes(
        self,
        operator: str,
        *inputs: str,
        outputs: int,
        domain: str = "",
        **attributes: Attribute,
    ) -> list[str]:
        """One node with several ``outputs``. An input that is left out is named ``""``."""
        names = [self._name("value") for _ in range(outputs)]
        node = [
            *(_text(1, name) for name in inputs),
            *(_text(2, name) for name in names),
            _text(4, operator),
            *(_bytes(5, _attribute(*item)) for item in attributes.items()),
            _text(7, domain),
        ]
        self._nodes += _nested(1, node)
        return names

    def model(self, *, inputs: Mapping[str, Sequence[int | str]], outputs: Sequence[str]) -> bytes:
        """The whole model. Sizes that differ from call to call are given by a name."""
        graph = [
            *self._nodes,
            _text(2, "stretto"),
            *self._constants,
            *(_bytes(11, _value(name, shape)) for name, shape in inputs.items()),
            *(_bytes(12, _value(name, None)) for name in outputs),
        ]
        opsets = (("", OPSET), (MICROSOFT, 1))
        return b"".join(
            [
                _number(1, IR_VERSION),
                *_nested(7, graph),
                *(_bytes(8, _text(1, d) + _number(2, v)) for d, v in opsets),
            ]
        )

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}_{self._names}"


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


def _nested(field: int, pieces: Sequence[Piece]) -> list[Piece]:
    """A message inside another one, unjoined."""
    length = sum(piece.nbytes if isinstance(piece, memoryview) else len(piece) for piece in pieces)
    return [bytes([*_varint(field << 3 | 2), *_varint(length)]), *pieces]


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _varint(value: int) -> Iterator[int]:
    """Seven bits a byte, the lowest first; ``value`` is not negative."""
    while value > 0x7F:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value
