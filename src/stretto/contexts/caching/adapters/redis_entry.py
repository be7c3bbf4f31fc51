"""An entry as one string of Redis.

A head (magic, version, length and CRC-32 of the label), the label (what is known of the entry, its
key included, as msgpack), and the parcel of the codec, which has a checksum of its own.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import Final

import msgspec

from stretto.contexts.caching.adapters.origins import origin_of
from stretto.contexts.caching.model import CacheEntry, CacheKey
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.identifiers import Timestamp

LABEL_BYTES: Final = 1024
"""A label is never longer; so much of each entry is read when they are looked through."""

_HEAD: Final = Struct(">4sHHI")
_MAGIC: Final = b"STRL"
_VERSION: Final = 1


class _Label(msgspec.Struct, array_like=True, frozen=True):
    key: str
    epoch: int
    created_at: float
    source: str
    engine: str
    model: str
    grain: str
    scope: str
    tag: str
    speech_s: float


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Label)


def closed(entry: CacheEntry) -> bytes:
    """The string that stands for ``entry``; its end of life is the server's business."""
    origin = entry.origin
    label = _ENCODER.encode(
        _Label(
            key=entry.key.value,
            epoch=entry.epoch,
            created_at=entry.created_at.unix_s,
            source=origin.source.value if origin.source else "",
            engine=origin.engine,
            model=origin.model,
            grain=origin.grain,
            scope=origin.scope,
            tag=origin.tag,
            speech_s=entry.speech_s,
        )
    )
    if _HEAD.size + len(label) > LABEL_BYTES:
        raise ValueError("The names of the engine, the model and the tag are too long to be kept.")
    return _HEAD.pack(_MAGIC, _VERSION, len(label), zlib.crc32(label)) + label + entry.value


def opened(data: object, key: CacheKey) -> CacheEntry | None:
    """The entry, or None for what is no entry of that key: damaged, foreign, or another one."""
    return labelled(data, key.value)


def labelled(data: object, key: str) -> CacheEntry | None:
    if not isinstance(data, bytes) or len(data) < _HEAD.size:
        return None
    magic, version, length, checksum = _HEAD.unpack_from(data)
    end = _HEAD.size + length
    label = data[_HEAD.size : end]
    if magic != _MAGIC or version != _VERSION or zlib.crc32(label) != checksum:
        return None
    try:
        read = _DECODER.decode(label)
        if read.key != key:
            return None
        return CacheEntry(
            key=CacheKey(read.key),
            value=data[end:],
            created_at=Timestamp(read.created_at),
            epoch=read.epoch,
            speech_s=read.speech_s,
            origin=origin_of(
                read.source, read.engine, read.model, read.grain, read.scope, read.tag
            ),
        )
    except (msgspec.MsgspecError, StrettoError, ValueError):
        return None
