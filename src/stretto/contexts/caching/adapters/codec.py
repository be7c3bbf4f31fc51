"""Makes a small, checked parcel of an answer: msgpack, compressed by zstd, never pickle.

A parcel is the magic ``STRC``, the schema version (2 bytes, big-endian), a BLAKE2b checksum of
16 bytes over the two and what follows, and one zstd frame that says how long its content is.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Final

import msgspec
import zstandard

from stretto.contexts.caching.adapters.columns import Columns, columns_of, recognition_of
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.recognition import Recognition

SCHEMA_VERSION: Final = 2
"""Raise it when the fields of Recognition change their meaning: older parcels are misses then.

Parcels of version 1 hold the answer as it is instead of in columns, and are still read.
"""

MAXIMUM_CONTENT_BYTES: Final = 8 * 2**20
"""More than a day of speech, and an answer is about minutes; a parcel that claims more is a
decompression bomb. What is unpacked takes up to thirty times as much as objects."""

LEVEL: Final = 15
"""Written once and read often: a tenth smaller than the usual level 3, for some milliseconds."""

_HEAD: Final = struct.Struct(">4sH")
_MAGIC: Final = b"STRC"
_CHECKSUM_BYTES: Final = 16
_DAMAGE: Final = (
    *(zstandard.ZstdError, msgspec.MsgspecError, StrettoError, ValueError, RecursionError),
    RuntimeError,  # a generator that ended too early: fewer words than the segments have
)
_COLUMNS: Final = msgspec.msgpack.Decoder(Columns)
_PLAIN: Final = msgspec.msgpack.Decoder(Recognition)
_READERS: Final[dict[int, Callable[[bytes], Recognition]]] = {
    1: _PLAIN.decode,
    SCHEMA_VERSION: lambda content: recognition_of(_COLUMNS.decode(content)),
}


def encode(recognition: Recognition) -> bytes:
    """Raises ValueError for text that has no UTF-8 form, or more than 8 MiB of content."""
    content = msgspec.msgpack.encode(columns_of(recognition))
    if len(content) > MAXIMUM_CONTENT_BYTES:
        raise ValueError(f"an answer of {len(content)} bytes is too large to be kept")
    return pack(zstandard.ZstdCompressor(level=LEVEL).compress(content))


def decode(data: bytes) -> Recognition | None:
    """None for bytes that are damaged, foreign, of another schema, or a decompression bomb."""
    unpacked = _unpack(data)
    if unpacked is None:
        return None
    read, frame = unpacked
    try:
        if not 0 <= zstandard.frame_content_size(frame) <= MAXIMUM_CONTENT_BYTES:
            return None  # -1 stands for a frame that does not say
        content = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
        return read(content)
    except _DAMAGE:
        return None


def pack(frame: bytes, *, schema_version: int = SCHEMA_VERSION) -> bytes:
    """The parcel around one zstd frame."""
    head = _HEAD.pack(_MAGIC, schema_version)
    return head + _checksum(head + frame) + frame


def _unpack(data: bytes) -> tuple[Callable[[bytes], Recognition], bytes] | None:
    if not isinstance(data, bytes):
        return None  # type: ignore[unreachable]  # a store may hold what somebody else wrote
    head, rest = data[: _HEAD.size], data[_HEAD.size :]
    checksum, frame = rest[:_CHECKSUM_BYTES], rest[_CHECKSUM_BYTES:]
    if len(head) < _HEAD.size or checksum != _checksum(head + frame):
        return None
    magic, version = _HEAD.unpack(head)
    return (_READERS[version], frame) if magic == _MAGIC and version in _READERS else None


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES).digest()
