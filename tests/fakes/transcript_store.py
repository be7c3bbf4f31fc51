"""The in-memory twin of the transcript store."""

from __future__ import annotations

import threading
from statistics import median

from stretto.contexts.core.audio import AudioFile
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.recognition import EngineIdentity, TranscriptRequest
from stretto.contexts.core.transcript import Transcript, TranscriptStatus


class MemoryTranscriptStore:
    """Keeps transcripts for as long as it lives."""

    def __init__(self) -> None:
        self.prepared = threading.Event()
        self._kept: dict[TranscriptId, tuple[TranscriptRequest, Transcript]] = {}

    def prepare(self) -> None:
        self.prepared.set()

    def find(self, request: TranscriptRequest) -> Transcript | None:
        for kept, transcript in self._newest_first():
            if kept == request and transcript.status is TranscriptStatus.COMPLETE:
                return transcript
        return None

    def get(self, transcript_id: TranscriptId) -> Transcript | None:
        return self._kept[transcript_id][1] if transcript_id in self._kept else None

    def recent(self, limit: int) -> tuple[Transcript, ...]:
        return tuple(transcript for _, transcript in self._newest_first())[:limit]

    def keep(
        self, request: TranscriptRequest, transcript: Transcript, *, file: AudioFile | None = None
    ) -> None:
        self._kept[transcript.id] = (request, transcript)

    def speed(self, engine: EngineIdentity) -> float | None:
        speeds = [
            transcript.duration_s / transcript.processing_s
            for request, transcript in self._newest_first()
            if request.engine == engine
            and transcript.cache.misses
            and not transcript.cache.hits
            and transcript.duration_s >= 30
            and transcript.processing_s > 0
        ]
        return median(speeds[:9]) if speeds else None

    def _newest_first(self) -> list[tuple[TranscriptRequest, Transcript]]:
        in_order = sorted(self._kept.values(), key=lambda row: row[1].created_at)  # stable
        return in_order[::-1]
