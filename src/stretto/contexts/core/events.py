"""Everything that can be heard of, in the past tense: facts, never objects with behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from stretto.contexts.core.identifiers import (
    ChunkId,
    FileHash,
    JobId,
    Timestamp,
    TranscriptId,
)
from stretto.contexts.core.transcript import Segment, TranscriptStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEvent:
    """Something that happened at a moment."""

    at: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProcessingStarted(DomainEvent):
    transcript_id: TranscriptId
    file: str
    claimed_duration_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSizeChosen(DomainEvent):
    """The sizer decided; ``reason`` is the sentence that ``--plan`` shows."""

    transcript_id: TranscriptId
    target_bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageDetected(DomainEvent):
    transcript_id: TranscriptId
    language: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkProcessingStarted(DomainEvent):
    transcript_id: TranscriptId
    chunk_id: ChunkId
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkProgressed(DomainEvent):
    """``done_s`` of the chunk's audio seconds are finished; it never falls for one chunk."""

    transcript_id: TranscriptId
    chunk_id: ChunkId
    done_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkProcessingCompleted(DomainEvent):
    """``segments`` have file times; ``from_cache`` says that no engine ran."""

    transcript_id: TranscriptId
    chunk_id: ChunkId
    segments: tuple[Segment, ...]
    duration_ms: int
    from_cache: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkProcessingRetried(DomainEvent):
    transcript_id: TranscriptId
    chunk_id: ChunkId
    attempt: int
    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkProcessingFailed(DomainEvent):
    transcript_id: TranscriptId
    chunk_id: ChunkId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkProcessingAbandoned(DomainEvent):
    """It was begun, and neither completed nor failed: its file was cancelled, or cannot go on."""

    transcript_id: TranscriptId
    chunk_id: ChunkId


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBackToSequential(DomainEvent):
    """Chunks are processed one after the other from here on, for ``reason``."""

    transcript_id: TranscriptId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProcessingCompleted(DomainEvent):
    transcript_id: TranscriptId
    status: TranscriptStatus
    total_chunks: int
    total_duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptRecalled(DomainEvent):
    """The file was known as a whole; nothing was computed."""

    transcript_id: TranscriptId


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptKept(DomainEvent):
    """It is in the database; ``version`` counts its owner's of this file from 1."""

    transcript_id: TranscriptId
    file_hash: FileHash
    version: int
    status: TranscriptStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptDeleted(DomainEvent):
    """Somebody wanted it gone; ``last_of_file`` tells that its ``owner`` has none of its file
    left."""

    transcript_id: TranscriptId
    file_hash: FileHash
    last_of_file: bool
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProcessingFailed(DomainEvent):
    transcript_id: TranscriptId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProcessingCancelled(DomainEvent):
    transcript_id: TranscriptId


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueued(DomainEvent):
    job_id: JobId
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted(DomainEvent):
    """``worker`` took it up; ``attempt`` counts how often one did, from 1. It had been ready for
    ``waited_s``."""

    job_id: JobId
    worker: str
    attempt: int
    priority: str = ""
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgressed(DomainEvent):
    """``done_s`` of its audio seconds are done; about one event for each hundredth."""

    job_id: JobId
    fraction: float
    done_s: float
    total_s: float | None
    chunks_done: int
    chunks_known: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTextHeard(DomainEvent):
    """The text that follows, while it is recognised: segments without words, in file times.

    A later ``attempt`` begins anew.
    """

    job_id: JobId
    attempt: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRetried(DomainEvent):
    """It went wrong for the time being, and is tried again in ``delay_s`` seconds."""

    job_id: JobId
    attempt: int
    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHandedBack(DomainEvent):
    """Its worker had to leave; another one goes on."""

    job_id: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCompleted(DomainEvent):
    job_id: JobId
    transcript_id: TranscriptId


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDivided(DomainEvent):
    """Its file is long: ``parts`` jobs of their own do one chunk each, and it waits for them."""

    job_id: JobId
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPartRetried(DomainEvent):
    """Of its parts, that with the chunk ``part`` (from 0) went wrong for the time being, and is
    tried again in ``delay_s`` seconds; the others go on."""

    job_id: JobId
    part: int
    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPartCompleted(DomainEvent):
    """A part of ``parent_id`` is done, number ``part`` of its chunks from 0."""

    job_id: JobId
    parent_id: JobId
    part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed(DomainEvent):
    """It is in the dead-letter queue; ``cause`` is refused, errors or crashes."""

    job_id: JobId
    reason: str
    cause: str = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelled(DomainEvent):
    job_id: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivered(DomainEvent):
    """Whoever wanted to be called when the job is over was, at the attempt of this number."""

    job_id: JobId
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookGivenUp(DomainEvent):
    """Nobody listened for hours."""

    job_id: JobId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntryCreated(DomainEvent):
    cache_key: str
    level: str
    ttl_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInvalidated(DomainEvent):
    """Answers were declared worthless, in all levels and processes; ``entries`` were deleted."""

    number: int
    selection: str
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetPublished(DomainEvent):
    """It lies in the store that listeners fetch from; ``kind`` is such as audio or vtt."""

    transcript_id: TranscriptId
    kind: str
    key: str
    size_bytes: int
    store: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetPurged(DomainEvent):
    """It is gone from every store."""

    transcript_id: TranscriptId
    kind: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRecorded(DomainEvent):
    """A series was written down for the last ten seconds: what a gauge was, how much a counter
    grew, how many amounts a timer recorded; ``series`` is such as queue.depth{priority=high}."""

    metric_name: str
    series: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTriggered(DomainEvent):
    """A rule's condition holds, for as long as it asks for."""

    alert_rule_id: str
    severity: str
    metric_value: float
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertResolved(DomainEvent):
    """It holds no more."""

    alert_rule_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertNotice:
    """One alert as people are told of it: that it began, or that it is over."""

    rule: str
    severity: str
    firing: bool
    value: float | None
    threshold: float
    summary: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsChanged(DomainEvent):
    """What people are to be told of a group of alerts, once for each way to tell them."""

    group: str
    alerts: tuple[AlertNotice, ...]
