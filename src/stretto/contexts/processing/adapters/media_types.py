"""Tells what kind of media a file is from its first bytes; its name does not count."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final

HEAD_BYTES: Final = 65_536
"""How much of a file the functions here want to see; less is fine for a smaller file."""


class MediaType(StrEnum):
    """The containers that are opened; each value is the name of FFmpeg's demuxer for it."""

    WAV = "wav"
    W64 = "w64"
    MP3 = "mp3"
    FLAC = "flac"
    OGG = "ogg"
    MOV = "mov"
    MATROSKA = "matroska"
    AAC = "aac"
    AIFF = "aiff"
    AU = "au"
    CAF = "caf"
    AMR = "amr"
    ASF = "asf"
    AVI = "avi"
    MPEGTS = "mpegts"
    MPEG = "mpeg"

    @property
    def may_pause(self) -> bool:
        """Whether a jump in the timestamps can be a pause in the recording, not only lost data."""
        return self in {MediaType.MOV, MediaType.MATROSKA, MediaType.ASF, MediaType.AVI}


_REFERENCES: Final = re.compile(
    r"#extm3u|#ext-x-|ffconcat|\[playlist\]|\[reference\]|asf https?:|<asx|<mpd|<smil|<smooth"
    r"|<playlist|<\?wpl|<\?zpl|v=0\s+o=|rtsptext|concat:|subfile,|data:|file:"
    r"|(https?|ftp|rtsps?|rtmp|rtp|udp|tcp|mms|gopher)://"
    r"|<\?xml.{0,2000}?<(mpd|asx|smil|playlist|smoothstreamingmedia)\b",
    re.DOTALL,
)
_W64: Final = bytes.fromhex("72696666 2e91cf11 a5d628db 04c10000")
_ASF: Final = bytes.fromhex("3026b275 8e66cf11 a6d900aa 0062ce6c")
_MAGICS: Final = (
    (rb"(RIFF|RF64|BW64)....WAVE", MediaType.WAV),
    (rb"RIFF....AVI[ X\x19]", MediaType.AVI),
    (rb"FORM....AIF[FC]", MediaType.AIFF),
    (re.escape(_W64), MediaType.W64),
    (re.escape(_ASF), MediaType.ASF),
    (rb"fLaC", MediaType.FLAC),
    (rb"OggS", MediaType.OGG),
    (rb"\x1a\x45\xdf\xa3", MediaType.MATROSKA),
    (rb"\.snd", MediaType.AU),
    (rb"caff", MediaType.CAF),
    (rb"#!AMR(-WB)?\n", MediaType.AMR),
    (rb"\x00\x00\x01\xba", MediaType.MPEG),
    # A box of ISO media says its size first; 0 means "to the end", 1 "a 64-bit size follows".
    (rb"....(ftyp|moov|mdat|free|skip|wide|pnot|styp|moof)", MediaType.MOV),
)
_PATTERNS: Final = tuple((re.compile(magic, re.DOTALL), kind) for magic, kind in _MAGICS)

# Kilobits per second by index (ISO 11172-3 table 2.4.2.3, ISO 13818-3 table 2.4.2.3).
_MPEG1_KBPS: Final = {
    1: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG2_KBPS: Final = {
    1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG1_HZ: Final = (44_100, 48_000, 32_000)


def is_reference(head: bytes) -> bool:
    """Whether the bytes begin a playlist, manifest or address instead of media of its own."""
    return (
        _REFERENCES.match(_as_text(head[:4096]).lstrip("\ufeff\x00 \t\r\n\v\f").lower()) is not None
    )


def is_text(head: bytes) -> bool:
    """Whether the bytes look like something written for people or for a shell."""
    return bool(head) and all(c.isprintable() or c.isspace() for c in _as_text(head[:512]))


def media_type(head: bytes) -> MediaType | None:
    """The container that begins with ``head`` (an ID3 tag already skipped), None if unknown."""
    for pattern, kind in _PATTERNS:
        if pattern.match(head):
            return kind
    if _is_transport_stream(head):
        return MediaType.MPEGTS
    if _has_frames(head, _adts_frame_bytes):
        return MediaType.AAC
    if _has_frames(head, _mpeg_audio_frame_bytes):
        return MediaType.MP3
    return None


def id3_bytes(head: bytes) -> int:
    """The length of the ID3v2 tag at the start of ``head``, 0 when there is none.

    Example: ``49 44 33 | 04 00 | 00 | 00 00 02 01`` is 10 bytes of header and 257 of tag.
    """
    if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 0x7F:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def declared_bytes(kind: MediaType, head: bytes) -> int | None:
    """How long the file is by its own header; None when its header does not say."""
    if kind in {MediaType.WAV, MediaType.AVI} and head.startswith(b"RIFF"):
        size = int.from_bytes(head[4:8], "little")
    elif kind is MediaType.AIFF:
        size = int.from_bytes(head[4:8], "big")
    elif kind is MediaType.W64:
        return int.from_bytes(head[16:24], "little") or None
    else:
        return None
    # Recorders that write to a pipe leave nothing or a placeholder here.
    return size + 8 if 0 < size < 0x7FFF_F000 else None


def box_bytes(head: bytes) -> int:
    """The length of the ISO media box that begins with ``head``; 0 for "to the end" or no box."""
    size = int.from_bytes(head[:4], "big")
    if size == 1 and len(head) == 16:
        size = int.from_bytes(head[8:16], "big")
    return size if size >= 8 else 0


def has_mp3_length(head: bytes) -> bool:
    """Whether an MP3 file states its number of frames instead of leaving it to be guessed."""
    return any(tag in head[:4096] for tag in (b"Xing", b"Info", b"VBRI"))


def ends_ogg(tail: bytes) -> bool:
    """Whether the last page in ``tail`` is marked as the end of its stream (RFC 3533, 6)."""
    page = tail.rfind(b"OggS")
    return page >= 0 and len(tail) > page + 5 and bool(tail[page + 5] & 0x04)


def _as_text(data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            return data[: len(data) & ~1].decode(encoding, "replace")
    # A multi-byte character may be cut in two at the end of what was read.
    return re.sub("\ufffd+$", "", data.decode("utf-8", "replace")).replace("\ufffd", "\x01")


def _is_transport_stream(head: bytes) -> bool:
    """Packets of 188, 192 (with a time before each) or 204 bytes that all begin with 0x47."""
    for first, step in ((0, 188), (4, 192), (0, 204)):
        marks = head[first : first + 8 * step : step]
        if len(marks) >= 3 and set(marks) == {0x47}:
            return True
    return False


def _has_frames(head: bytes, frame_bytes: Callable[[bytes], int]) -> bool:
    """Whether three frames follow each other somewhere, or fewer fill the file from its start.

    One frame proves nothing: text in UTF-16 begins with bytes that pass for a frame.
    """
    at = head.find(b"\xff")
    while at >= 0:
        if _is_chain(head, at, frame_bytes):
            return True
        at = head.find(b"\xff", at + 1)
    return False


def _is_chain(head: bytes, first: int, frame_bytes: Callable[[bytes], int]) -> bool:
    at = first
    for _ in range(3):
        length = frame_bytes(head[at : at + 7])
        if not length:
            return False
        at += length
        if at >= len(head):
            return first == 0
    return True


def _adts_frame_bytes(header: bytes) -> int:
    """Length of the AAC frame that begins with these 7 bytes, 0 if none does (ISO 14496-3, 1.A)."""
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return 0
    if header[2] >> 2 & 0x0F > 12:
        return 0
    length = (header[3] & 0x03) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else 0


def _mpeg_audio_frame_bytes(header: bytes) -> int:
    """Length of the MPEG audio frame (layer 1 to 3) that begins with these bytes, or 0."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate, hz_index = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or rate in {0, 15} or hz_index == 3:
        return 0
    kbps = (_MPEG1_KBPS[layer] if version == 3 else _MPEG2_KBPS[min(layer, 2)])[rate]
    hz = _MPEG1_HZ[hz_index] >> {3: 0, 2: 1, 0: 2}[version]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return (12_000 * kbps // hz + padding) * 4
    return (72_000 if layer == 3 and version != 3 else 144_000) * kbps // hz + padding
