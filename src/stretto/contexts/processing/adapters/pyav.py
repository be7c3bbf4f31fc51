"""Reads audio out of any usual container with FFmpeg (PyAV), trusting nothing in the file."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.stream import AudioStream as FFmpegStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, AudioFile, FileIdentity
from stretto.contexts.core.errors import (
    AudioTooShort,
    InvalidOption,
    MediaNotRecognised,
    MediaRefused,
    NoAudioStream,
)
from stretto.contexts.processing.adapters.decoding import Decoding
from stretto.contexts.processing.adapters.media_source import MediaSource, identify, opened, shown
from stretto.contexts.processing.adapters.media_types import MediaType, has_mp3_length
from stretto.contexts.processing.model import DecodedAudio, Samples

_SHORTEST: Final = SAMPLE_RATE_HZ // 10
_BUFFER_BYTES: Final = 1 << 16
_LONGEST_CLAIM_S: Final = 365 * 86_400.0

_STATE_THEIR_LENGTH: Final = frozenset(
    {MediaType.FLAC, MediaType.MOV, MediaType.AIFF, MediaType.AU, MediaType.CAF, MediaType.ASF}
)
"""Containers whose duration was written down when they were made, not guessed from their size."""


class PyAvReader:
    """The port AudioReader. One object serves any number of files and threads."""

    def identify(self, path: Path) -> FileIdentity:
        return identify(path)

    def probe(self, content: FileIdentity, *, stream: int | None = None) -> AudioFile:
        """``stream_index`` of the result counts audio streams from 0, like ``stream``."""
        path = content.path
        with opened(path, size=content.size_bytes) as source, _demuxed(source) as container:
            index = _chosen(container, stream, path=path)
            audio = container.streams.audio[index]
            duration_s = _claimed_s(container, audio)
            bits = source.size * 8
            return AudioFile(
                path=path,
                size_bytes=source.size,
                file_hash=content.file_hash,
                stream_index=index,
                container=source.kind.value,
                codec=audio.codec_context.codec.canonical_name,
                claimed_duration_s=duration_s,
                bitrate_bps=round(bits / duration_s) if duration_s else None,
                own_choice=index == _own_choice(container),
            )

    def open(self, file: AudioFile) -> PyAvStream:
        return PyAvStream(file)


class PyAvStream:
    """The port AudioStream: one pass over one audio stream of one file."""

    def __init__(self, file: AudioFile) -> None:
        self._file = file
        self._outcome = DecodedAudio(samples=0)

    def blocks(self) -> Iterator[Samples]:
        """Blocks of at most six seconds, see the port."""
        path, size = self._file.path, self._file.size_bytes
        with opened(path, size=size) as source, _demuxed(source) as container:
            index = _chosen(container, self._file.stream_index, path=path)
            audio = container.streams.audio[index]
            _read_only(container, audio)
            decoding = Decoding(container, audio, kind=source.kind)
            promised_s = _promised_s(container, audio, source)
            yield from _long_enough(decoding, source=source, promised_s=promised_s)
            short = _falls_short(decoding, promised_s)
            cut_off = (
                short
                or source.failure is not None
                or source.is_cut_off()
                or decoding.ends_in_damage
            )
            self._outcome = DecodedAudio(
                samples=decoding.samples,
                cut_off=cut_off,
                promised_s=promised_s if short else None,
                warnings=tuple(_warnings(decoding, source, promised_s, cut_off=cut_off)),
                unreadable=tuple(decoding.unreadable),
            )

    def outcome(self) -> DecodedAudio:
        return self._outcome


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
            },
            metadata_errors="replace",
            buffer_size=_BUFFER_BYTES,
            io_open=refuse,
        )
    except av.FFmpegError as cause:
        source.raise_failure()
        raise MediaNotRecognised(_not_opened(source)) from cause
    with container:
        if asked_for:
            raise MediaRefused(_elsewhere(source))
        yield container


def _elsewhere(source: MediaSource) -> str:
    return f"{shown(source.path)} keeps its audio in other files, which are never opened."


def _not_opened(source: MediaSource) -> str:
    text = f"{shown(source.path)} is damaged: its {source.kind.value} header cannot be read."
    if source.kind is MediaType.MOV:
        text += " Its index is at the end and may have been cut off; get the whole file."
    return text


def _chosen(container: InputContainer, stream: int | None, *, path: Path) -> int:
    """Which audio stream, counted from 0: the asked one, or the one marked default, or the first.

    Raises NoAudioStream, InvalidOption or MediaNotRecognised.
    """
    streams = container.streams.audio
    if not streams:
        raise NoAudioStream(f"{shown(path)} has no audio.")
    if stream is None:
        stream = _own_choice(container)
    if not 0 <= stream < len(streams):
        numbers = "number 0" if len(streams) == 1 else f"numbers 0 to {len(streams) - 1}"
        raise InvalidOption(
            f"{shown(path)} has no audio stream {stream}: it has {len(streams)}, {numbers}."
        )
    if streams[stream].codec_context is None:
        raise MediaNotRecognised(f"The audio of {shown(path)} is in a codec that is not supported.")
    return stream


def _own_choice(container: InputContainer) -> int:
    streams = container.streams.audio
    return next((i for i, s in enumerate(streams) if s.disposition & Disposition.default), 0)


def _read_only(container: InputContainer, audio: FFmpegStream) -> None:
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
) -> Iterator[Samples]:
    """The blocks, once 0.1 s of them are there.

    Raises AudioTooShort, MediaRefused or MediaNotRecognised.
    """
    held: list[Samples] = []
    for block in decoding.blocks():
        if decoding.samples < _SHORTEST:
            held.append(block)
            continue
        yield np.concatenate([*held, block]) if held else block
        held.clear()
    if not isinstance(source.failure, OSError) or not decoding.samples:
        source.raise_failure()
    if not decoding.samples and decoding.ends_in_damage:
        raise MediaNotRecognised(f"Nothing of the audio in {shown(source.path)} can be decoded.")
    if not decoding.samples and source.kind is MediaType.MOV and (promised_s or 0) >= 0.1:
        # FFmpeg skips a track whose data reference (ISO 14496-12, 8.7) leads out of the file.
        if not source.is_cut_off():
            raise MediaRefused(_elsewhere(source))
        raise MediaNotRecognised(f"{shown(source.path)} is cut off before its first sound.")
    if decoding.samples < _SHORTEST:
        raise AudioTooShort(f"{shown(source.path)} holds less than 0.1 seconds of audio.")


def _claimed_s(container: InputContainer, audio: FFmpegStream) -> float | None:
    if audio.duration is not None and audio.time_base:
        claimed = float(audio.duration * audio.time_base)
    elif container.duration is not None:
        claimed = container.duration / av.time_base
    else:
        return None
    return claimed if 0 < claimed < _LONGEST_CLAIM_S and math.isfinite(claimed) else None


def _promised_s(
    container: InputContainer, audio: FFmpegStream, source: MediaSource
) -> float | None:
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


def _warnings(
    decoding: Decoding, source: MediaSource, promised_s: float | None, *, cut_off: bool
) -> Iterator[str]:
    decoded_s = decoding.samples / SAMPLE_RATE_HZ
    if source.failure is not None:
        yield f"Reading stopped after {decoded_s:.1f} s of audio ({source.failure})."
    elif _falls_short(decoding, promised_s):
        yield (
            f"The file ends after {decoded_s:.1f} s of audio although its header promises"
            f" {promised_s:.1f} s: its end is missing."
        )
    elif cut_off:
        yield f"The file is cut off: it ends in the middle, after {decoded_s:.1f} s of audio."
    if lost_s := sum(span.duration_s for span in decoding.unreadable):
        yield (
            f"{max(lost_s, 0.1):.1f} s of audio could not be decoded"
            f" ({_places(len(decoding.unreadable))}) and count as silence."
        )
    if decoding.paused >= SAMPLE_RATE_HZ:
        paused_s = decoding.paused / SAMPLE_RATE_HZ
        yield f"The recording pauses for {paused_s:.1f} s in all; the pauses count as silence."
    if decoding.jumps:
        yield (
            f"The timestamps in the file jump ({_places(decoding.jumps)}); the times of what"
            " follows are counted from the audio before it."
        )


def _places(count: int) -> str:
    return "1 place" if count == 1 else f"{count} places"
