"""Ordinary requests and answers, for tests that need one and do not care which."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from stretto.contexts.core.identifiers import (
    AudioHash,
    FileHash,
    Language,
    Timestamp,
    TranscriptId,
)
from stretto.contexts.core.recognition import (
    EngineIdentity,
    Grain,
    Recognition,
    RecognitionRequest,
    TranscriptionOptions,
    TranscriptRequest,
)
from stretto.contexts.core.transcript import (
    Coverage,
    Gap,
    GapReason,
    Segment,
    Transcript,
    Word,
)

AN_ENGINE = EngineIdentity(
    engine="whisper", engine_version="1", model="tiny.en", model_revision="r1", settings="beam=5"
)
A_GAP = Gap(start=1.0, end=2.0, reason=GapReason.ENGINE_FAILED, detail="it gave up")


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def a_recognition_request(audio: str = "some audio", **options: Any) -> RecognitionRequest:
    return RecognitionRequest(
        audio=AudioHash(sha256_of(audio)),
        grain=Grain.CHUNK,
        engine=AN_ENGINE,
        options=TranscriptionOptions(**options),
    )


def a_transcript_request(file: str = "some file", **options: Any) -> TranscriptRequest:
    return TranscriptRequest(
        file_hash=FileHash(sha256_of(file)),
        stream_index=0,
        engine=AN_ENGINE,
        options=TranscriptionOptions(**options),
    )


def a_recognition(text: str = "It was the best of times", *gaps: Gap) -> Recognition:
    return Recognition(
        segments=(a_segment(text),),
        language=Language("en"),
        language_probability=0.97,
        speech_s=2.5,
        transcribed_s=2.5,
        gaps=gaps,
    )


def a_segment(text: str) -> Segment:
    word = Word(start=0.5, end=0.7, text=text.split(" ", maxsplit=1)[0], probability=0.9)
    return Segment(start=0.5, end=3.0, text=text, words=(word,), tokens=(1, 2, 50257))


def a_transcript(
    text: str = "It was the best of times", *gaps: Gap, created_at_s: float = 1000.0, **fields: Any
) -> Transcript:
    coverage = Coverage(speech_s=2.5, transcribed_s=2.5, gaps=gaps)
    given: dict[str, Any] = {
        "id": TranscriptId(uuid.uuid5(uuid.NAMESPACE_OID, f"{text}{created_at_s}")),
        "file": "/music/зал.mp3",
        "file_hash": FileHash(sha256_of("some file")),
        "language": Language("en"),
        "duration_s": 3.25,
        "segments": (a_segment(text),),
        "coverage": coverage,
        "engine": "whisper",
        "model": "tiny.en",
        "created_at": Timestamp(created_at_s),
    }
    return Transcript(**(given | fields))
