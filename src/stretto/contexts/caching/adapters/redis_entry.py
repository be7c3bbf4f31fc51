"""An entry as one string of Redis.

A head (magic, version, length of the label, and two seals), the label (what is known of the entry,
its key included, as msgpack), and the parcel of the codec. The seals, of the label and of
everything, are keyed hashes (BLAKE2b, RFC 7693): whoever can write into Redis, and not read the
database, can put no words of their own there.
"""

from __future__ import annotations

import hashlib
import hmac
from struct import Struct
from typing import Final

import msgspec

from stretto.contexts.caching.adapters.origins import origin_of
from stretto.contexts.caching.model import CacheEntry, CacheKey
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.identifiers import Timestamp

LABEL_BYTES: Final = 1024
"""A label is never longer; so much of each entry is read when they are looked through."""

_SEAL_BYTES: Final = 16
_HEAD: Final = Struct(f">4sHH{_SEAL_BYTES}s{_SEAL_BYTES}s")
_MAGIC: Final = b"STRL"
_VERSION: Final = 2


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


def closed(entry: CacheEntry, secret: bytes) -> bytes:
    """The string that stands for ``entry``, sealed with ``secret`` (at most 64 bytes); its end of
    life is the server's business."""
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
    seals = _seal(secret, label), _seal(secret, label + entry.value)
    return _HEAD.pack(_MAGIC, _VERSION, len(label), *seals) + label + entry.value


def opened(data: object, key: CacheKey, secret: bytes) -> CacheEntry | None:
    """The entry, or None for what is no entry of that key: damaged, forged, or another one."""
    entry = labelled(data, key.value, secret)
    if entry is None or not isinstance(data, bytes):
        return None
    seal = _HEAD.unpack_from(data)[-1]
    return entry if hmac.compare_digest(seal, _seal(secret, data[_HEAD.size :])) else None


def labelled(data: object, key: str, secret: bytes) -> CacheEntry | None:
    """What the first ``LABEL_BYTES`` say; whatever follows the label may be cut off, or wrong."""
    if not isinstance(data, bytes) or len(data) < _HEAD.size:
        return None
    magic, version, length, seal, _whole = _HEAD.unpack_from(data)
    end = _HEAD.size + length
    label = data[_HEAD.size : end]
    if magic != _MAGIC or version != _VERSION:
        return None
    if not hmac.compare_digest(seal, _seal(secret, label)):
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


def _seal(secret: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_SEAL_BYTES, key=secret).digest()
