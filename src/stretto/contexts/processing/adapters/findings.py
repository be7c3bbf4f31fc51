"""What one pass over a recording found, in numbers, and what is said about it in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, AudioFile, FileIdentity, Span
from stretto.contexts.processing.model import DecodedAudio

LONGEST: Final = 7 * 86_400 * SAMPLE_RATE_HZ
"""A week: more samples than this come from a bomb, not from a recorder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a file says about one of its audio streams; ``duration_s`` is its word, or None."""

    stream_index: int
    codec: str
    duration_s: float | None
    own_choice: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """``samples`` were decoded; of them ``unreadable`` and ``paused`` are silence that was put in.

    ``promised_s`` is the length by the header where the audio falls short of it; ``failure`` the
    ``errno`` that ended the reading, 0 for none; ``jumps`` counts timestamps nobody can follow.
    """

    samples: int
    cut_off: bool = False
    promised_s: float | None = None
    unreadable: tuple[Span, ...] = ()
    paused: int = 0
    jumps: int = 0
    failure: int = 0


def audio_file(content: FileIdentity, container: str, seen: Look) -> AudioFile:
    bits = content.size_bytes * 8
    return AudioFile(
        path=content.path,
        size_bytes=content.size_bytes,
        file_hash=content.file_hash,
        stream_index=seen.stream_index,
        container=container,
        codec=seen.codec,
        claimed_duration_s=seen.duration_s,
        bitrate_bps=round(bits / seen.duration_s) if seen.duration_s else None,
        own_choice=seen.own_choice,
    )


def outcome_of(findings: Findings) -> DecodedAudio:
    return DecodedAudio(
        samples=findings.samples,
        cut_off=findings.cut_off,
        promised_s=findings.promised_s,
        warnings=tuple(_warnings(findings)),
        unreadable=findings.unreadable,
    )


def _warnings(found: Findings) -> Iterator[str]:
    decoded_s = found.samples / SAMPLE_RATE_HZ
    if found.failure:
        yield f"Reading stopped after {decoded_s:.1f} s of audio ({os.strerror(found.failure)})."
    elif found.promised_s is not None:
        yield (
            f"The file ends after {decoded_s:.1f} s of audio although its header promises"
            f" {found.promised_s:.1f} s: its end is missing."
        )
    elif found.cut_off:
        yield f"The file is cut off: it ends in the middle, after {decoded_s:.1f} s of audio."
    if lost_s := sum(span.duration_s for span in found.unreadable):
        yield (
            f"{max(lost_s, 0.1):.1f} s of audio could not be decoded"
            f" ({_places(len(found.unreadable))}) and count as silence."
        )
    if found.paused >= SAMPLE_RATE_HZ:
        paused_s = found.paused / SAMPLE_RATE_HZ
        yield f"The recording pauses for {paused_s:.1f} s in all; the pauses count as silence."
    if found.jumps:
        yield (
            f"The timestamps in the file jump ({_places(found.jumps)}); the times of what"
            " follows are counted from the audio before it."
        )


def _places(count: int) -> str:
    return "1 place" if count == 1 else f"{count} places"
