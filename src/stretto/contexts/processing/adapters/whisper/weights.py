"""Reads the weights of a model in CTranslate2's format (``model.bin``) without copying them."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.core.errors import EngineUnavailable

Array = npt.NDArray[np.float32]

VERSION: Final = 6
SPECIFICATION: Final = "WhisperSpec"
TYPES: Final = (np.float32, np.int8, np.int16, np.int32, np.float16)
"""Element types by their number in the file."""

LONGEST_NAME: Final = 512
MOST_VARIABLES: Final = 10_000
MOST_DIMENSIONS: Final = 4
BLOCK_ROWS: Final = 512


class Weights(Mapping[str, npt.NDArray[np.generic]]):
    """The variables of one model by name, such as ``decoder/layer_0/ffn/linear_0/weight``.

    They are views of the mapped file: the system reads what is used and can drop it again.
    Raises EngineUnavailable for a file that is no Whisper model of a version known here.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._bytes = np.memmap(path, dtype=np.uint8, mode="r")
            self._offsets = self._index()
        except (OSError, ValueError, struct.error, UnicodeDecodeError) as cause:
            raise self._unreadable(str(cause)) from cause

    def __getitem__(self, name: str) -> npt.NDArray[np.generic]:
        kind, shape, offset = self._offsets[name]
        count = int(np.prod(shape, dtype=np.int64))
        view = self._bytes[offset : offset + count * np.dtype(kind).itemsize]
        return view.view(np.ndarray).view(kind).reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._offsets)

    def __len__(self) -> int:
        return len(self._offsets)

    def floats(self, name: str) -> Array:
        """A copy as 32-bit floats; eight-bit weights are multiplied by the scales of their rows.

        Raises EngineUnavailable for a variable that the file does not have.
        """
        self.shape(name)
        return self._floats(name, slice(None))

    def shape(self, name: str) -> tuple[int, ...]:
        """Raises EngineUnavailable for a variable that the file does not have."""
        if name not in self._offsets:
            raise self._unreadable(f"it lacks {name}")
        return self._offsets[name][1]

    def blocks(self, name: str) -> Iterator[Array]:
        """The same, some rows at a time: of the largest ones a copy is too much to hold."""
        for start in range(0, self._offsets[name][1][0], BLOCK_ROWS):
            yield self._floats(name, slice(start, start + BLOCK_ROWS))

    def _floats(self, name: str, rows: slice) -> Array:
        value = np.asarray(self[name])[rows].astype(np.float32)
        if self._offsets[name][0] is np.int8:
            # CTranslate2 divides by this scale: a weight is round(value * scale).
            value /= np.asarray(self[f"{name}_scale"], dtype=np.float32)[rows, None]
        return value

    def forget(self) -> None:
        """Give back the memory of what was read so far; what is asked for later is read again."""
        pages = getattr(self._bytes, "_mmap", None)
        if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)

    def number(self, name: str) -> int:
        return int(np.asarray(self[name]).reshape(-1)[0])

    def layers(self, part: str) -> int:
        """How many layers ``encoder`` or ``decoder`` has."""
        names = {name.split("/")[1] for name in self._offsets if name.startswith(f"{part}/layer_")}
        return len(names - {"layer_norm"})

    def _index(self) -> dict[str, tuple[type[np.generic], tuple[int, ...], int]]:
        reader = _Reader(self._bytes)
        version = reader.number("I")
        name = reader.text()
        if version != VERSION or name != SPECIFICATION:
            raise ValueError(f"it is {name[:40]!r} of version {version}")
        reader.number("I")  # the revision of the specification
        found: dict[str, tuple[type[np.generic], tuple[int, ...], int]] = {}
        for _ in range(reader.number("I", at_most=MOST_VARIABLES)):
            variable = reader.text()
            rank = reader.number("B", at_most=MOST_DIMENSIONS)
            shape = tuple(reader.number("I") for _ in range(rank))
            kind: type[np.generic] = TYPES[reader.number("B", at_most=len(TYPES) - 1)]
            size = reader.number("I")
            if size != int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize:
                raise ValueError(f"the size of {variable} is wrong")
            found[variable] = kind, shape, reader.skip(size)
        for _ in range(reader.number("I", at_most=MOST_VARIABLES)):
            alias, variable = reader.text(), reader.text()
            found[alias] = found[variable] if variable in found else found[alias]
        return found

    def _unreadable(self, why: str) -> EngineUnavailable:
        return EngineUnavailable(
            f"The weights in {self._path} cannot be read ({why}). "
            "Is it a Whisper model in CTranslate2 format? Install it again."
        )


class _Reader:
    """Walks through the file; raises ValueError where it ends too soon."""

    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self._data = data
        self._at = 0

    def number(self, format_: str, *, at_most: int | None = None) -> int:
        size = struct.calcsize(f"<{format_}")
        at = self.skip(size)
        (value,) = struct.unpack(f"<{format_}", self._data[at : at + size].tobytes())
        if at_most is not None and value > at_most:
            raise ValueError(f"{value} where at most {at_most} is possible")
        return int(value)

    def text(self) -> str:
        size = self.number("H", at_most=LONGEST_NAME)
        at = self.skip(size)
        return self._data[at : at + size].tobytes().rstrip(b"\0").decode()

    def skip(self, size: int) -> int:
        """Where the next ``size`` bytes begin."""
        at, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise ValueError("it ends too soon")
        return at
