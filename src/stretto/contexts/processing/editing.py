"""Corrections of a transcript by hand: a new version, in which the words keep their times as far as
they are still there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.core.recognition import (
    EngineIdentity,
    TranscriptionOptions,
    TranscriptRequest,
)
from stretto.contexts.core.transcript import CacheUse, Segment, Transcript, Word

SURE: Final = 1.0
"""The belief in a word that a person wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEdit:
    """The new text of the segment with that ``index``, from 0; an empty one removes it."""

    index: int
    text: str


def edited(
    transcript: Transcript,
    edits: Sequence[TextEdit],
    *,
    new_id: TranscriptId,
    at: Timestamp,
) -> Transcript:
    """The transcript after ``edits``. Raises InvalidOption for a segment that there is not, or one
    that is named twice."""
    by_index = {edit.index: " ".join(edit.text.split()) for edit in edits}
    if len(by_index) < len(edits):
        raise InvalidOption("A segment is named twice; say once what its text is to be.")
    beyond = max(by_index, default=-1)
    if beyond >= len(transcript.segments):
        raise InvalidOption(
            f"There is no segment {beyond}; the transcript has {len(transcript.segments)}."
        )
    segments = tuple(
        _with_text(segment, by_index[index]) if index in by_index else segment
        for index, segment in enumerate(transcript.segments)
        if by_index.get(index) != ""
    )
    return replace(
        transcript,
        id=new_id,
        segments=segments,
        created_at=at,
        cache=CacheUse(),
        processing_s=0.0,
    )


def request_of(transcript: Transcript, *, scope: str) -> TranscriptRequest:
    """Under what an edited transcript is kept: nobody who asks for the file's transcript finds it,
    for what an engine heard and what somebody wrote are two things."""
    identity = EngineIdentity(
        engine=transcript.engine,
        engine_version="edited",
        model=transcript.model,
        model_revision=str(transcript.id),
        settings="edited",
    )
    return TranscriptRequest(
        file_hash=transcript.file_hash,
        stream_index=None,
        engine=identity,
        options=TranscriptionOptions(language=transcript.language, scope=scope),
        scope=scope,
    )


def _with_text(segment: Segment, text: str) -> Segment:
    words = _timed(segment.words, text.split()) if segment.words else ()
    return replace(segment, text=text, words=words, tokens=())


def _timed(before: Sequence[Word], texts: Sequence[str]) -> tuple[Word, ...]:
    """Words that stayed keep their times (difflib, after Ratcliff and Obershelp 1988); those that
    came in the place of others share the time of these, and those that came between two take none
    of it."""
    matcher = difflib.SequenceMatcher(
        None, [word.text.strip() for word in before], list(texts), autojunk=False
    )
    found: list[Word] = []
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            found += before[old_from:old_to]
            continue
        start = before[old_from].start if old_from < len(before) else before[-1].end
        end = before[old_to - 1].end if old_to > old_from else start
        found += _sharing(start, max(start, end), texts[new_from:new_to])
    return tuple(found)


def _sharing(start: float, end: float, texts: Sequence[str]) -> list[Word]:
    step = (end - start) / len(texts) if texts else 0.0
    return [
        Word(
            start=start + step * place,
            end=start + step * (place + 1),
            text=" " + text,
            probability=SURE,
        )
        for place, text in enumerate(texts)
    ]
