"""The transcript: what was said, when, by which engine, and what is missing from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from stretto.contexts.core.errors import Unavailable
from stretto.contexts.core.identifiers import FileHash, Language, Timestamp, TranscriptId


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word with its times in seconds; ``probability`` in [0, 1] is the engine's belief."""

    start: float
    end: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A sentence or phrase, times in seconds from the start of what holds it.

    ``average_log_probability`` is the natural logarithm per token (<= 0), ``compression_ratio``
    is UTF-8 bytes over zlib bytes, ``temperature`` is that of the decoding pass that won;
    ``estimated`` marks times that were derived from a span, not heard by the engine.
    """

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    average_log_probability: float = 0.0
    compression_ratio: float = 1.0
    no_speech_probability: float = 0.0
    temperature: float = 0.0
    tokens: tuple[int, ...] = ()
    estimated: bool = False


class GapReason(StrEnum):
    """Why a stretch with speech in it has no text."""

    ENGINE_FAILED = "engine_failed"
    CANCELLED = "cancelled"
    UNREADABLE_AUDIO = "unreadable_audio"
    NOTHING_RECOGNISED = "nothing_recognised"
    END_MISSING = "end_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Seconds ``[start, end)`` that hold speech, or may hold it, and were not transcribed."""

    start: float
    end: float
    reason: GapReason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the speech is in the transcript: seconds found, seconds transcribed, gaps."""

    speech_s: float
    transcribed_s: float
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seam:
    """Where two chunks meet: the second at which was cut, and how sure that nobody was speaking.

    ``loudness_dbfs`` is the level of the 0.2 s around the cut, in dB relative to full scale.
    ``forced`` says that no pause was found and the cut fell into sound; such seams may have a
    word doubled or split and are worth a look.
    """

    at: float
    loudness_dbfs: float
    forced: bool


class TranscriptStatus(StrEnum):
    COMPLETE = "complete"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """How many chunks were answered from the cache, and how many had to be computed.

    ``recalled_s`` counts the seconds of audio that were not computed, those of single windows
    in computed chunks included.
    """

    hits: int = 0
    misses: int = 0
    recalled_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """The result of transcribing one file. ``status`` is complete only without a gap.

    ``segments`` are ordered and do not overlap; all times are seconds in [0, ``duration_s``].
    ``warnings`` are sentences for the user, such as "the file ends in the middle";
    ``processing_s`` is how long it took.
    """

    id: TranscriptId
    file: str
    file_hash: FileHash
    language: Language | None
    duration_s: float
    segments: tuple[Segment, ...]
    coverage: Coverage
    engine: str
    model: str
    seams: tuple[Seam, ...] = ()
    cache: CacheUse = CacheUse()
    warnings: tuple[str, ...] = ()
    created_at: Timestamp
    processing_s: float = 0.0

    @property
    def status(self) -> TranscriptStatus:
        return TranscriptStatus.PARTIAL if self.coverage.gaps else TranscriptStatus.COMPLETE

    @property
    def text(self) -> str:
        """All segments in order, joined by single blanks."""
        return " ".join(text for s in self.segments if (text := s.text.strip()))

    def without_words(self) -> Transcript:
        """The same transcript, with segments that carry no word times."""
        return replace(self, segments=tuple(replace(s, words=()) for s in self.segments))

    @property
    def has_speech(self) -> bool:
        return self.coverage.speech_s > 0


class TranscriptNotKept(Unavailable):
    """The transcript was made but could not be kept; it is in ``transcript``."""

    def __init__(self, why: str, transcript: Transcript) -> None:
        super().__init__(f"The transcript is complete but could not be kept: {why}")
        self.transcript = transcript
