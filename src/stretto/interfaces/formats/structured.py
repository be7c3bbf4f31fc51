"""Writes JSON for programs: our own documented schema (json), and OpenAI's (verbose_json)."""

from __future__ import annotations

import json as standard_json
from collections.abc import Mapping
from typing import Final

from stretto.contexts.core.transcript import Gap, Seam, Segment, Transcript, Word
from stretto.interfaces.formats.cleaning import finite, milliseconds
from stretto.interfaces.formats.layout import SubtitleLayout

SCHEMA: Final = 1
"""Changes when a field is removed, renamed or means something else; new fields leave it alone."""

_DIGITAL_SILENCE_DBFS: Final = -120.0
_FRAME_MS: Final = 10
"""Whisper counts ``seek`` in steps of its spectrogram, 10 ms each."""

Json = Mapping[str, object]


def json(transcript: Transcript, layout: SubtitleLayout) -> str:
    """The schema of docs/reference/formats.md. Times are seconds, rounded to 3 decimals."""
    return _dumped(
        {
            "schema": SCHEMA,
            "id": str(transcript.id),
            "file": transcript.file,
            "text": transcript.text,
            "language": str(transcript.language) if transcript.language else None,
            "duration": finite(transcript.duration_s),
            "status": transcript.status.value,
            "coverage": _coverage(transcript),
            "segments": [_segment(segment) for segment in transcript.segments],
            "seams": [_seam(seam) for seam in transcript.seams],
            "warnings": list(transcript.warnings),
            "engine": transcript.engine,
            "model": transcript.model,
            "cache": {
                "hits": transcript.cache.hits,
                "misses": transcript.cache.misses,
                "recalled_s": round(finite(transcript.cache.recalled_s), 3),
            },
        }
    )


def verbose_json(transcript: Transcript, layout: SubtitleLayout) -> str:
    """The answer of OpenAI's ``POST /v1/audio/transcriptions`` with this response format."""
    language = transcript.language.english_name.lower() if transcript.language else "unknown"
    words = [word for segment in transcript.segments for word in segment.words]
    duration_s = finite(transcript.duration_s)
    return _dumped(
        {
            "task": "transcribe",
            "language": language,
            "duration": duration_s,
            "text": transcript.text,
            "segments": [_openai_segment(i, s) for i, s in enumerate(transcript.segments)],
            **({"words": [_openai_word(word) for word in words]} if words else {}),
            "usage": {"type": "duration", "seconds": duration_s},
        }
    )


def _dumped(document: Json) -> str:
    return standard_json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _coverage(transcript: Transcript) -> Json:
    return {
        "speech_s": finite(transcript.coverage.speech_s),
        "transcribed_s": finite(transcript.coverage.transcribed_s),
        "gaps": [_gap(gap) for gap in transcript.coverage.gaps],
    }


def _gap(gap: Gap) -> Json:
    described = {"start": finite(gap.start), "end": finite(gap.end), "reason": gap.reason.value}
    return {**described, "detail": gap.detail} if gap.detail else described


def _segment(segment: Segment) -> Json:
    spoken = {
        "start": finite(segment.start),
        "end": finite(segment.end),
        "text": segment.text.strip(),
        **({"timing": "estimated"} if segment.estimated else {}),
    }
    return {**spoken, "words": [_word(w) for w in segment.words]} if segment.words else spoken


def _word(word: Word) -> Json:
    return {
        "start": finite(word.start),
        "end": finite(word.end),
        "word": word.text.strip(),
        "probability": finite(word.probability),
    }


def _seam(seam: Seam) -> Json:
    return {
        "at": finite(seam.at),
        "loudness_dbfs": finite(seam.loudness_dbfs, otherwise=_DIGITAL_SILENCE_DBFS),
        "forced": seam.forced,
    }


def _openai_segment(index: int, segment: Segment) -> Json:
    return {
        "id": index,
        "seek": milliseconds(segment.start) // _FRAME_MS,
        "start": finite(segment.start),
        "end": finite(segment.end),
        "text": segment.text.strip(),
        "tokens": [int(token) for token in segment.tokens],
        "temperature": finite(segment.temperature),
        "avg_logprob": finite(segment.average_log_probability),
        "compression_ratio": finite(segment.compression_ratio),
        "no_speech_prob": finite(segment.no_speech_probability),
    }


def _openai_word(word: Word) -> Json:
    return {"word": word.text.strip(), "start": finite(word.start), "end": finite(word.end)}
