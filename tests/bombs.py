"""Small files that ask for much: made in memory, one of each kind."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests import mediagen

MANY = 50_000


def element(name: str, payload: bytes) -> bytes:
    """An element of EBML (RFC 8794) whose id is ``name`` in hexadecimal."""
    return bytes.fromhex(name) + (1 << 56 | len(payload)).to_bytes(8, "big") + payload


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload) + 8) + kind + payload


def track(number: int) -> bytes:
    """A Matroska track of 16-bit samples at 16 kHz."""
    audio = (
        element("b5", struct.pack(">d", 16_000)) + element("9f", b"\1") + element("6264", b"\20")
    )
    whole = (
        element("d7", number.to_bytes(4, "big"))
        + element("73c5", number.to_bytes(4, "big"))
        + element("83", b"\2")
        + element("86", b"A_PCM/INT/LIT")
        + element("e1", audio)
    )
    return element("ae", whole)


def matroska(*elements: bytes, tracks: int = 1) -> bytes:
    head = element("1a45dfa3", element("4282", b"matroska"))
    described = element("1654ae6b", b"".join(track(n + 1) for n in range(tracks)))
    return head + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + described + b"".join(elements)


def cluster(*blocks: bytes) -> bytes:
    return element("1f43b675", element("e7", b"\0") + b"".join(blocks))


def block(data: bytes) -> bytes:
    return element("a3", b"\x81\0\0\x80" + data)


def _endless_claims() -> bytes:
    data = bytearray(mediagen.media(mediagen.tone(1.0), container="mov"))
    for kind, at in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        where = data.index(kind) + at
        data[where : where + 4] = b"\x7f\xff\xff\xff"
    return bytes(data)


def _endless_samples() -> bytes:
    """A table that says there are two thousand million samples, all in one place."""
    data = bytearray(mediagen.media(mediagen.tone(1.0), container="mov"))
    for kind, at in ((b"stsz", 12), (b"stts", 12), (b"stsc", 16)):
        where = data.index(kind) + at
        data[where : where + 4] = b"\x7f\xff\xff\xff"
    return bytes(data)


def _nested() -> bytes:
    inside = b""
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"udta", b"meta") * 2_000:
        inside = box(kind, inside)
    return box(b"ftyp", b"isom") + inside


def _nested_matroska() -> bytes:
    inside = b""
    for _ in range(12):
        inside = element("1254c367", inside) + element("67c8", inside[:99])
    return matroska(inside[:2_000_000])


def _covers() -> bytes:
    picture = struct.pack(">II", 3, 9) + b"image/png" + struct.pack(">5I", 0, 9, 9, 24, 0)
    size = (1 << 24) - 1 - len(picture) - 4
    picture += struct.pack(">I", size) + bytes(size)
    good = mediagen.media(mediagen.tone(1.0), container="flac", codec="flac")
    blocks = (b"\6" + len(picture).to_bytes(3, "big") + picture) * 6
    return good[:42].replace(b"fLaC\x80", b"fLaC\0") + blocks + good[42:]


def _loops() -> bytes:
    """Where to find things: here, and here again."""
    here = element("4dbb", element("53ab", b"\x11\x4d\x9b\x74") + element("53ac", b"\0"))
    cues = element(
        "bb", element("b3", b"\0") + element("b7", element("f7", b"\1") + element("f1", b"\0"))
    )
    return matroska(
        element("114d9b74", here * 1_000),
        element("1c53bb6b", cues * 10_000),
        cluster(block(b"\1\2")),
    )


def _wav(rate_hz: int, channels: int) -> Callable[[], bytes]:
    data = bytes(2_000_000)
    return lambda: (
        mediagen.wav_header(rate_hz=rate_hz, channels=channels, data_bytes=len(data)) + data
    )


BOMBS: dict[str, Callable[[], bytes]] = {
    "a header that claims years": _endless_claims,
    "a table of two thousand million samples": _endless_samples,
    "a wav of four gigabytes that is not there": lambda: (
        mediagen.wav_header(rate_hz=16_000, data_bytes=0xFFFF_FFFF) + bytes(32_000)
    ),
    "boxes in boxes": _nested,
    "elements in elements": _nested_matroska,
    "packets of one sample": lambda: matroska(cluster(*[block(b"\1\2")] * MANY)),
    "packets of nothing": lambda: matroska(cluster(*[block(b"")] * MANY)),
    "covers of a hundred megabytes": _covers,
    "a tag of a hundred megabytes": lambda: (
        mediagen.id3(bytes(100_000_000))
        + mediagen.media(mediagen.tone(1.0), container="mp3", codec="libmp3lame")
    ),
    "thousands of streams": lambda: matroska(cluster(block(b"\1\2")), tracks=10_000),
    "a rate of two thousand million": _wav(0x7FFF_FFFF, 1),
    "a rate of 655,350 with 8 channels": _wav(655_350, 8),
    "a rate of 2,001 with 64 channels": _wav(2_001, 64),
    "a thousand recordings in one": lambda: (
        mediagen.media(mediagen.tone(0.1), container="ogg", codec="flac") * 1_000
    ),
    "places that lead to themselves": _loops,
}
