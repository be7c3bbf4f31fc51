"""The nouns of processing: chunks, windows, sizes, strategies and progress. Frozen and pure."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from stretto.contexts.core.audio import BYTES_PER_SECOND, AudioFile, Span
from stretto.contexts.core.errors import Cancelled, InvalidOption
from stretto.contexts.core.identifiers import AudioHash, ChunkId, FileHash
from stretto.contexts.core.recognition import TranscriptionOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Samples: TypeAlias = "npt.NDArray[np.int16]"
"""One-dimensional 16-bit samples at 16 kHz, mono. A name only: what is known is recalled without
numpy."""

MEGABYTE: Final = 1_000_000

USUAL_RETRIES: Final = 3
CLEAR_PAUSE_DB: Final = 6.0
SILENCE_DBFS: Final = -60.0


@dataclass(frozen=True, slots=True, order=True)
class ChunkSize:
    """Bytes of decoded audio that a chunk aims at: 10 to 30 MB, which is 5 to 16 minutes."""

    MINIMUM_BYTES = 10 * MEGABYTE
    MAXIMUM_BYTES = 30 * MEGABYTE

    bytes: int

    def __post_init__(self) -> None:
        if not self.MINIMUM_BYTES <= self.bytes <= self.MAXIMUM_BYTES:
            raise InvalidOption(f"A chunk has 10 to 30 MB, not {self.bytes / MEGABYTE:.1f} MB.")

    @property
    def duration_s(self) -> float:
        return self.bytes / BYTES_PER_SECOND


@dataclass(frozen=True, slots=True, order=True)
class ConcurrencyLimit:
    """How many chunks may be worked on at once: 1 to 64, 4 by default."""

    value: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.value <= 64:
            raise InvalidOption(f"Concurrency is a number from 1 to 64, not {self.value}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """What an engine takes in one call; None means: no limit of its own.

    ``max_bytes`` counts the encoded body, overhead included; ``concurrency`` is how many calls
    it serves well at the same time; ``speed`` is audio seconds per second of work, for estimates;
    ``retries`` is how often a failed call is worth another, 0 for an engine that sees to it itself.
    ``calls_are_free``: a call costs nothing besides its audio, so that larger chunks only take more
    memory.
    """

    max_bytes: int | None = None
    max_seconds: float | None = None
    concurrency: int | None = None
    speed: float | None = None
    retries: int | None = None
    calls_are_free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeDecision:
    """What the DynamicChunkSizer chose, and the sentence that says why.

    With ``opening`` a short chunk comes before the others, for the sake of the first words.
    """

    target: ChunkSize
    minimum_s: float
    maximum_s: float
    reason: str
    opening: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingStrategy:
    """How one file is processed: decided once, before the first chunk.

    A ``shared`` one is long enough to be shared out to many workers, chunk by chunk, where it is
    the queue that has it done.
    """

    size: SizeDecision
    concurrency: ConcurrencyLimit = ConcurrencyLimit()
    retries_per_chunk: int = USUAL_RETRIES
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOut:
    """How a file was cut when it was shared out, and why chunks were ``given_up``, by number."""

    file: FileHash
    size: SizeDecision
    given_up: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A chunk that somebody is to do, with the options that follow from the whole file."""

    number: int
    start_s: float
    end_s: float
    options: TranscriptionOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """A file with ``chunks`` chunks, of which those ``to_do`` are not known yet."""

    how: SharedOut
    chunks: int
    total_s: float
    known_s: float
    to_do: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """A quiet point: its sample, its loudness (lower is quieter), and two levels in dB.

    ``loudness`` weighs the mean power of the 0.2 s, 1.5 s and 12 s around it 64 : 8 : 1. The two
    wider sums decide between pauses that are equally quiet, as in a recording whose pauses are
    digital silence: the longer pause wins.
    """

    position: int
    loudness: int
    level_dbfs: float
    surroundings_dbfs: float

    def shifted(self, samples: int) -> Pause:
        return replace(self, position=self.position + samples)

    @property
    def clear(self) -> bool:
        """Whether it stands out from the sound around it, or is silence by any measure."""
        drop_db = self.surroundings_dbfs - self.level_dbfs
        return self.level_dbfs < SILENCE_DBFS or drop_db >= CLEAR_PAUSE_DB


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChunk:
    """A span of the file between two cuts, and the pauses inside it (both in file samples).

    ``loudness_dbfs`` and ``forced`` describe the cut at the chunk's end (see core Seam);
    ``opening`` marks the short chunk at the start of a long recording.
    """

    index: int
    span: Span
    pauses: tuple[Pause, ...]
    loudness_dbfs: float
    forced: bool
    opening: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioChunk:
    """A span of decoded audio with its own content hash.

    ``pauses`` and ``speech`` lie inside it, both in samples from the chunk's start; ``speech`` is
    None until it was looked for. ``samples`` has ``len(planned.span)`` items and must not be
    written to; ``source`` is the file they came from.
    """

    planned: PlannedChunk
    audio: AudioHash
    samples: Samples = field(repr=False, compare=False)
    speech: tuple[Span, ...] | None = None
    source: FileHash | None = field(default=None, compare=False)

    @property
    def id(self) -> ChunkId:
        return ChunkId(self.planned.index, self.audio)

    @property
    def span(self) -> Span:
        return self.planned.span

    @property
    def pauses(self) -> tuple[Pause, ...]:
        return tuple(p.shifted(-self.span.start) for p in self.planned.pauses)

    @property
    def duration_s(self) -> float:
        return self.span.duration_s

    @property
    def speech_s(self) -> float:
        return sum(s.duration_s for s in self.speech or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingProgress:
    """How far a file is, by audio seconds; ``done_s`` and ``fraction`` (in [0, 1]) never fall.

    ``total_s`` is the header's word until the file is decoded to its end, then the truth.
    """

    done_s: float
    total_s: float | None
    fraction: float
    chunks_done: int
    chunks_known: int


NOT_BEGUN: Final = ProcessingProgress(
    done_s=0.0, total_s=None, fraction=0.0, chunks_done=0, chunks_known=0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedAudio:
    """What is known once the last sample is decoded: samples, and what was wrong with the file.

    ``cut_off`` says that the file ends in the middle; ``promised_s`` is the duration that its
    header promises then, where it does.
    """

    samples: int
    cut_off: bool = False
    promised_s: float | None = None
    warnings: tuple[str, ...] = ()
    unreadable: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """What ``--plan`` shows: nothing of it was transcribed."""

    file: AudioFile
    strategy: ProcessingStrategy
    chunks: tuple[PlannedChunk, ...]
    cached: tuple[bool, ...]
    duration_s: float
    estimated_s: float | None


class CancelToken:
    """Set once by whoever wants to stop; looked at between the pieces of work. Thread-safe."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raises Cancelled once ``cancel`` was called."""
        if self._event.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake up for a cancel; returns whether it came."""
        return self._event.wait(seconds)
