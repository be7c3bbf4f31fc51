"""What the whole program means by audio: 16 kHz, one channel, 16-bit samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stretto.contexts.core.identifiers import FileHash

SAMPLE_RATE_HZ: Final = 16_000
"""The rate Whisper was trained on (Radford et al. 2022, section 2.2)."""

BYTES_PER_SAMPLE: Final = 2
BYTES_PER_SECOND: Final = SAMPLE_RATE_HZ * BYTES_PER_SAMPLE


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of samples ``[start, end)`` at 16 kHz; ``0 <= start <= end``."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"a span runs forward from zero: [{self.start}, {self.end})")

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def start_s(self) -> float:
        return self.start / SAMPLE_RATE_HZ

    @property
    def end_s(self) -> float:
        return self.end / SAMPLE_RATE_HZ

    @property
    def duration_s(self) -> float:
        return len(self) / SAMPLE_RATE_HZ

    def shifted(self, samples: int) -> Span:
        return Span(self.start + samples, self.end + samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIdentity:
    """The first ``size_bytes`` of a file on this machine, and their hash."""

    path: Path
    size_bytes: int
    file_hash: FileHash


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFile:
    """A file on this machine, as far as it is known without decoding it.

    ``claimed_duration_s`` is the word of the container's header: good for a progress bar and an
    estimate, never for a decision. ``bitrate_bps`` is bits per second of the whole container.
    ``own_choice`` says that this is the stream the file itself chooses when nobody names one.
    """

    path: Path
    size_bytes: int
    file_hash: FileHash
    stream_index: int
    container: str
    codec: str
    claimed_duration_s: float | None
    bitrate_bps: int | None
    own_choice: bool = True
