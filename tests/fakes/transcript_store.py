"""The in-memory twin of the transcript store."""

from __future__ import annotations

from stretto.contexts.core.canonical import request_digest
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.recognition import TranscriptRequest
from stretto.contexts.core.transcript import Transcript, TranscriptStatus


class MemoryTranscriptStore:
    """Keeps transcripts for as long as it lives."""

    def __init__(self) -> None:
        self._kept: dict[TranscriptId, tuple[str, Transcript]] = {}

    def find(self, request: TranscriptRequest) -> Transcript | None:
        key = request_digest(request, schema_version=1)
        for kept_key, transcript in self._newest_first():
            if kept_key == key and transcript.status is TranscriptStatus.COMPLETE:
                return transcript
        return None

    def get(self, transcript_id: TranscriptId) -> Transcript | None:
        return self._kept[transcript_id][1] if transcript_id in self._kept else None

    def recent(self, limit: int) -> tuple[Transcript, ...]:
        return tuple(transcript for _, transcript in self._newest_first())[:limit]

    def keep(self, request: TranscriptRequest, transcript: Transcript) -> None:
        self._kept[transcript.id] = (request_digest(request, schema_version=1), transcript)

    def _newest_first(self) -> list[tuple[str, Transcript]]:
        in_order = sorted(self._kept.values(), key=lambda row: row[1].created_at)  # stable
        return in_order[::-1]
