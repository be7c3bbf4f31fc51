"""Makes recordings, good and hostile, in memory: nothing binary is kept in the repository."""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

RATE_HZ = 16_000

Samples = npt.NDArray[np.int16]
Piece = tuple[float, Samples]
"""Samples and the second at which they begin; a track of several pieces has pauses."""


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ), np.int16)


def tone(seconds: float, *, hz: float = 440.0, amplitude: int = 8_000) -> Samples:
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.round(amplitude * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def noise(seconds: float, *, amplitude: float = 1_000.0, seed: int = 1) -> Samples:
    """Gaussian noise; ``amplitude`` is its standard deviation."""
    drawn = np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))
    return np.clip(drawn * amplitude, -32_768, 32_767).astype(np.int16)


def bursts(seconds: float, *, seed: int = 1) -> Samples:
    """Like speech for a level meter: noise with the rhythm of syllables, over faint noise."""
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    syllables = np.clip(np.sin(2 * np.pi * 4 * at), 0, 1) * (np.sin(2 * np.pi * 0.25 * at) > -0.5)
    loud = noise(seconds, amplitude=4_000, seed=seed) * syllables
    return (loud + noise(seconds, amplitude=10, seed=seed + 1)).astype(np.int16)


def media(
    *tracks: Samples | Sequence[Piece],
    container: str = "wav",
    codec: str = "pcm_s16le",
    rate_hz: int = RATE_HZ,
    layout: str = "mono",
    picture_s: float = 0.0,
    tags: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> bytes:
    """A file with one audio stream per track and, if asked for, ``picture_s`` of moving picture."""
    target = io.BytesIO()
    with av.open(target, "w", format=container, options=dict(options or {})) as output:
        output.metadata.update(tags or {})
        picture = output.add_stream("mpeg4", rate=5) if picture_s else None
        streams = [output.add_stream(codec, rate=rate_hz, layout=layout) for _ in tracks]
        for stream in streams:
            stream.bit_rate = 64_000
        if picture is not None:
            picture.width = picture.height = 32
            picture.pix_fmt = "yuv420p"
            for _ in range(round(picture_s * 5)):
                output.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
            output.mux(picture.encode(None))
        for stream, track in zip(streams, tracks, strict=True):
            for frame in _frames(track):
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return target.getvalue()


def _frames(track: Samples | Sequence[Piece]) -> list[av.AudioFrame]:
    pieces = [(0.0, track)] if isinstance(track, np.ndarray) else track
    frames = []
    for begin_s, samples in pieces:
        for at in range(0, len(samples), 1_600):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1_600], "s16", "mono")
            frame.sample_rate = RATE_HZ
            frame.time_base = Fraction(1, RATE_HZ)
            frame.pts = round(begin_s * RATE_HZ) + at
            frames.append(frame)
    return frames


def wav_header(*, rate_hz: int, channels: int = 1, data_bytes: int) -> bytes:
    """A 16-bit WAV header that may claim anything."""
    align = channels * 2
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * align & 0xFFFFFFFF, align, 16)
    body = b"WAVEfmt \x10\0\0\0" + form + b"data" + struct.pack("<I", data_bytes)
    return b"RIFF" + struct.pack("<I", min(data_bytes + 36, 0xFFFFFFFF)) + body


def id3(payload: bytes) -> bytes:
    """An ID3v2.4 tag around ``payload``, such as a cover or a comment."""
    size = len(payload)
    return b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + payload


def damaged(data: bytes, *, at: float = 0.5, length: int = 3_000) -> bytes:
    """``length`` random bytes in place of those at the fraction ``at`` of the file."""
    start = int(len(data) * at)
    rubbish = np.random.default_rng(0).integers(0, 256, length, dtype=np.uint8).tobytes()
    return data[:start] + rubbish[: len(data) - start] + data[start + length :]


def referring(movie: bytes, path: str) -> bytes:
    """A QuickTime file whose audio lies in another file: an ``alis`` record with ``path``.

    ``movie`` has its index (``moov``) at the end, as FFmpeg writes it.
    """
    name = path.encode()
    where = struct.pack(">HH", 2, len(name)) + name + b"\0" * (len(name) & 1)
    alias = bytes(10) + b"\x03vol" + bytes(24) + bytes(12) + b"\x06canary" + bytes(57)
    alias += bytes(16) + struct.pack(">HH", 1, 1) + bytes(16) + where + b"\xff\xff\0\0"
    entry = struct.pack(">I4sI", len(alias) + 12, b"alis", 0) + alias
    dref = struct.pack(">I4sII", len(entry) + 16, b"dref", 0, 1) + entry
    return _with_box(movie, (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), dref)


def _with_box(data: bytes, path: tuple[bytes, ...], box: bytes) -> bytes:
    """``data`` with the (last) box at ``path`` replaced and the sizes around it put right."""
    if not path:
        return box
    parts, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        part = data[at : at + size]
        if part[4:8] == path[0]:
            inner = _with_box(part[8:], path[1:], box) if len(path) > 1 else box[8:]
            part = struct.pack(">I4s", len(inner) + 8, path[0]) + inner
        parts.append(part)
        at += size
    return b"".join(parts)


def recorded_speech() -> Path:
    """A real recording of 44 s: the start of Dickens' "A Tale of Two Cities", read aloud."""
    package = importlib.util.find_spec("moonshine_voice")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "assets" / "two_cities.wav"


def concatenated(*parts: Samples) -> Samples:
    return np.concatenate(parts)
