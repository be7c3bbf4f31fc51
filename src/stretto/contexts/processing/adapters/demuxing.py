"""FFmpeg on an open file: looks at its streams, decodes one, and trusts nothing in it.

Knows no path and no numpy: it runs in this process or in one of its own, see ``decoder``.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.processing.adapters.decoding import Decoding
from stretto.contexts.processing.adapters.findings import LONGEST, Findings, Look
from stretto.contexts.processing.adapters.media_faults import Fault, FaultKind
from stretto.contexts.processing.adapters.media_source import MediaSource
from stretto.contexts.processing.adapters.media_types import MediaType, has_mp3_length

_SHORTEST: Final = SAMPLE_RATE_HZ // 10
_BUFFER_BYTES: Final = 1 << 16
_LONGEST_CLAIM_S: Final = 365 * 86_400.0
_MOST_STREAMS: Final = 256
"""A multitrack recorder has 64; a forged file has ten thousand, and each costs a decoder."""

_STATE_THEIR_LENGTH: Final = frozenset(
    {MediaType.FLAC, MediaType.MOV, MediaType.AIFF, MediaType.AU, MediaType.CAF, MediaType.ASF}
)
"""Containers whose duration was written down when they were made, not guessed from their size."""


def look(source: MediaSource, stream: int | None) -> Look:
    """Reads headers, decodes nothing. ``stream`` counts audio streams from 0. Raises Fault."""
    with _demuxed(source) as container:
        index = _chosen(container, stream)
        audio = container.streams.audio[index]
        return Look(
            stream_index=index,
            codec=audio.codec_context.codec.canonical_name,
            duration_s=_claimed_s(container, audio),
            own_choice=index == _own_choice(container),
        )


class OnePass:
    """One pass over one audio stream; ``findings`` is right after the last block."""

    def __init__(self, source: MediaSource, stream: int | None) -> None:
        self.findings = Findings(samples=0)
        self._source = source
        self._stream = stream

    def blocks(self) -> Iterator[bytearray]:
        """Native 16-bit samples at 16 kHz, at most six seconds of them at once. Raises Fault."""
        source = self._source
        with _demuxed(source) as container:
            audio = container.streams.audio[_chosen(container, self._stream)]
            _read_only(container, audio)
            decoding = Decoding(container, audio, kind=source.kind)
            promised_s = _promised_s(container, audio, source)
            yield from _long_enough(decoding, source=source, promised_s=promised_s)
            short = _falls_short(decoding, promised_s)
            self.findings = Findings(
                samples=decoding.samples,
                cut_off=(
                    short
                    or source.failure is not None
                    or source.is_cut_off()
                    or decoding.ends_in_damage
                ),
                promised_s=promised_s if short else None,
                unreadable=tuple(decoding.unreadable),
                paused=decoding.paused,
                jumps=decoding.jumps,
                failure=getattr(source.failure, "errno", 0) or 0,
            )


@contextmanager
def _demuxed(source: MediaSource) -> Iterator[InputContainer]:
    """FFmpeg with one demuxer and no way to any other file or address.

    Three locks: no protocol is allowed, no other demuxer is allowed, and what still asks for a
    file gets an empty one and makes the media refused.
    """
    asked_for: list[str] = []

    def refuse(url: str, _flags: int, _options: dict[str, str]) -> io.BytesIO:
        asked_for.append(url)
        return io.BytesIO()

    try:
        container = av.open(
            source,
            "r",
            format=source.kind.value,
            container_options={
                "protocol_whitelist": "none",
                "format_whitelist": source.kind.value,
                "max_streams": str(_MOST_STREAMS),
            },
            metadata_errors="replace",
            buffer_size=_BUFFER_BYTES,
            io_open=refuse,
        )
    except av.FFmpegError as cause:
        source.raise_failure()
        is_mov = source.kind is MediaType.MOV
        raise Fault(FaultKind.NO_INDEX if is_mov else FaultKind.DAMAGED) from cause
    with container:
        if asked_for:
            raise Fault(FaultKind.ELSEWHERE)
        yield container


def _chosen(container: InputContainer, stream: int | None) -> int:
    """Which audio stream, counted from 0: the asked one, or the one marked default, or the first.

    Raises Fault.
    """
    streams = container.streams.audio
    if not streams:
        raise Fault(FaultKind.NO_AUDIO)
    if stream is None:
        stream = _own_choice(container)
    if not 0 <= stream < len(streams):
        raise Fault(FaultKind.NO_SUCH_STREAM, len(streams))
    if streams[stream].codec_context is None:
        raise Fault(FaultKind.UNKNOWN_CODEC)
    return stream


def _own_choice(container: InputContainer) -> int:
    streams = container.streams.audio
    return next((i for i, s in enumerate(streams) if s.disposition & Disposition.default), 0)


def _read_only(container: InputContainer, audio: AudioStream) -> None:
    """Pictures and other languages are not even read; one thread decodes, as chunks share cores."""
    for other in container.streams:
        if other.index != audio.index:
            other.discard = Discard.all
    audio.codec_context.thread_count = 1
    if audio.codec_context.codec.canonical_name == "flac":
        # Checks the checksum of each frame: damage must not come through as loud noise. Other
        # codecs call too much that is harmless an error.
        audio.codec_context.options = {"err_detect": "crccheck+explode"}


def _long_enough(
    decoding: Decoding, *, source: MediaSource, promised_s: float | None
) -> Iterator[bytearray]:
    """The blocks, once 0.1 s of them are there. Raises Fault."""
    held = bytearray()
    for block in decoding.blocks():
        if decoding.samples < _SHORTEST:
            held += block
            continue
        if decoding.samples > LONGEST:
            raise Fault(FaultKind.TOO_LONG)
        yield held + block if held else block
        held.clear()
    if not isinstance(source.failure, OSError) or not decoding.samples:
        source.raise_failure()
    if not decoding.samples and decoding.ends_in_damage:
        raise Fault(FaultKind.NOTHING_DECODED)
    if not decoding.samples and source.kind is MediaType.MOV and (promised_s or 0) >= 0.1:
        # FFmpeg skips a track whose data reference (ISO 14496-12, 8.7) leads out of the file.
        cut_off = source.is_cut_off()
        raise Fault(FaultKind.CUT_OFF_AT_THE_START if cut_off else FaultKind.ELSEWHERE)
    if decoding.samples < _SHORTEST:
        raise Fault(FaultKind.TOO_SHORT)


def _claimed_s(container: InputContainer, audio: AudioStream) -> float | None:
    if audio.duration is not None and audio.time_base:
        claimed = float(audio.duration * audio.time_base)
    elif container.duration is not None:
        claimed = container.duration / av.time_base
    else:
        return None
    return claimed if 0 < claimed < _LONGEST_CLAIM_S and math.isfinite(claimed) else None


def _promised_s(container: InputContainer, audio: AudioStream, source: MediaSource) -> float | None:
    """The claimed duration where falling short of it means that the end is missing."""
    stated = source.kind in _STATE_THEIR_LENGTH or (
        source.kind is MediaType.MP3 and has_mp3_length(source.head)
    )
    if source.kind is MediaType.MATROSKA:
        stated = len(container.streams) == 1  # else the duration is that of the longest stream
    return _claimed_s(container, audio) if stated else None


def _falls_short(decoding: Decoding, promised_s: float | None) -> bool:
    if promised_s is None or decoding.jumps:  # a forged time makes a forged promise
        return False
    return decoding.samples / SAMPLE_RATE_HZ < promised_s - max(0.5, 0.01 * promised_s)
