"""The in-memory twins of the audio reader and the speech detector, and sounds to feed them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, AudioFile, FileIdentity, Span
from stretto.contexts.core.errors import AudioTooShort, InvalidOption, MediaNotFound
from stretto.contexts.core.identifiers import AudioHash, FileHash
from stretto.contexts.processing.model import AudioChunk, DecodedAudio, Pause, PlannedChunk, Samples

LOUD = 500
"""The twin of the detector takes samples above this level for speech."""


class MemoryStream:
    """One recording, read once, in blocks of ``block`` samples; counts what was read."""

    def __init__(
        self,
        samples: Samples,
        *,
        block: int = 10 * SAMPLE_RATE_HZ,
        warnings: tuple[str, ...] = (),
        unreadable: tuple[Span, ...] = (),
    ) -> None:
        self._samples = samples
        self._block = block
        self._warnings = warnings
        self._unreadable = unreadable
        self.read = 0

    def blocks(self) -> Iterator[Samples]:
        if len(self._samples) < SAMPLE_RATE_HZ // 10:
            raise AudioTooShort
        for start in range(0, len(self._samples), self._block):
            block = self._samples[start : start + self._block]
            self.read += len(block)
            yield block

    def outcome(self) -> DecodedAudio:
        return DecodedAudio(samples=self.read, warnings=self._warnings, unreadable=self._unreadable)


class MemoryReader:
    """Satisfies the AudioReader port over ``recordings``: samples by the name of a file.

    ``claimed`` is the header's word about the duration, by name; without it, the truth. The one
    stream of each is its ``own_choice`` unless that is said to be another.
    """

    def __init__(
        self,
        recordings: Mapping[str, Samples],
        *,
        block: int = 10 * SAMPLE_RATE_HZ,
        claimed: Mapping[str, float | None] | None = None,
        warnings: tuple[str, ...] = (),
        unreadable: tuple[Span, ...] = (),
        own_choice: bool = True,
    ) -> None:
        self._recordings = recordings
        self._own_choice = own_choice
        self._block = block
        self._claimed = claimed or {}
        self._warnings = warnings
        self._unreadable = unreadable
        self.opened: list[MemoryStream] = []
        self.probed = 0

    def prepare(self) -> None: ...

    def identify(self, path: Path) -> FileIdentity:
        samples = self._recordings.get(path.name)
        if samples is None:
            raise MediaNotFound
        return FileIdentity(
            path=path,
            size_bytes=samples.nbytes,
            file_hash=FileHash(hashlib.sha256(samples.tobytes()).hexdigest()),
        )

    def probe(self, content: FileIdentity, *, stream: int | None = None) -> AudioFile:
        self.probed += 1
        path = content.path
        if stream:
            raise InvalidOption("There is one audio stream, number 0.")
        duration_s = len(self._recordings[path.name]) / SAMPLE_RATE_HZ
        return AudioFile(
            path=path,
            size_bytes=content.size_bytes,
            file_hash=content.file_hash,
            stream_index=0,
            container="memory",
            codec="pcm",
            claimed_duration_s=self._claimed.get(path.name, duration_s),
            bitrate_bps=16 * SAMPLE_RATE_HZ,
            own_choice=self._own_choice,
        )

    def open(self, file: AudioFile) -> MemoryStream:
        stream = MemoryStream(
            self._recordings[file.path.name],
            block=self._block,
            warnings=self._warnings,
            unreadable=self._unreadable,
        )
        self.opened.append(stream)
        return stream


class LoudnessDetector:
    """The twin of the speech detector: from the first to the last loud sample is speech."""

    def __init__(self) -> None:
        self.calls = 0

    def find(self, samples: Samples) -> tuple[Span, ...]:
        self.calls += 1
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
        return (Span(int(loud[0]), int(loud[-1]) + 1),) if loud.size else ()


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), dtype=np.int16)


def tone(seconds: float, *, hz: float = 440.0, amplitude: int = 8_000) -> Samples:
    at = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return np.round(amplitude * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def speechlike(seconds: float, *, seed: int = 1, pauses: bool = True) -> Samples:
    """Noise with the rhythm of speech: phrases of 1 to 6 s, pauses of 0.15 to 1.2 s between them.

    Pauses hold faint noise, as a quiet room does, unless there are to be none.
    """
    random = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE_HZ)
    level = np.empty(count, dtype=np.float32)
    at = 0
    while at < count:
        phrase = int(random.uniform(1.0, 6.0) * SAMPLE_RATE_HZ)
        pause = int(random.uniform(0.15, 1.2) * SAMPLE_RATE_HZ) if pauses else 0
        level[at : at + phrase] = random.uniform(2_000, 6_000)
        level[at + phrase : at + phrase + pause] = random.uniform(5, 60)
        at += phrase + pause
    loud = random.standard_normal(count, dtype=np.float32) * level
    clipped: Samples = np.clip(loud, -32_768, 32_767).astype(np.int16)
    return clipped


def a_chunk(
    samples: Samples,
    *,
    index: int = 0,
    start: int = 0,
    pauses: tuple[int, ...] | None = None,
    speech: tuple[Span, ...] | None = None,
) -> AudioChunk:
    """A chunk of ``samples`` that begins at sample ``start`` of its file; a pause every 20 s."""
    length = len(samples)
    positions = (
        range(20 * SAMPLE_RATE_HZ, length, 20 * SAMPLE_RATE_HZ) if pauses is None else pauses
    )
    planned = PlannedChunk(
        index=index,
        span=Span(start, start + length),
        pauses=tuple(
            Pause(start + at, 0, level_dbfs=-120.0, surroundings_dbfs=-20.0) for at in positions
        ),
        loudness_dbfs=-70.0,
        forced=False,
    )
    digest = hashlib.sha256(samples.tobytes()).hexdigest()
    return AudioChunk(planned=planned, audio=AudioHash(digest), samples=samples, speech=speech)
