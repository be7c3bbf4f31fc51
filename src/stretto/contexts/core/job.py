"""The tracking of one request to transcribe one file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.identifiers import JobId, Timestamp, TranscriptId


class JobStatus(StrEnum):
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingJob:
    """Where one file stands: its status, what came of it, and why it failed if it did."""

    id: JobId
    file: str
    status: JobStatus
    created_at: Timestamp
    transcript_id: TranscriptId | None = None
    error: StrettoError | None = None
