"""A transcript as OpenAI's audio API answers it, whole or while it is recognised."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from starlette.responses import Response

from stretto.contexts.core.events import JobStarted, JobTextHeard
from stretto.contexts.core.transcript import Segment, Transcript, Word
from stretto.interfaces.formats import format_named
from stretto.interfaces.formats.cleaning import finite, well_formed
from stretto.interfaces.http.documents import answered
from stretto.interfaces.http.lines import Line
from stretto.interfaces.http.openai_fields import Asked

ONE_SPEAKER: Final = "A"
NOT_TOLD_APART: Final = "Speakers are not told apart here; everything is given to A."
LEAST_PROBABILITY: Final = 1e-9

Document = dict[str, Any]


def whole(transcript: Transcript, asked: Asked, *, translation: bool) -> Response:
    """The answer to a request that does not stream."""
    status = transcript.status.value
    if asked.response_format in {"text", "srt", "vtt"}:
        name = {"text": "txt"}.get(asked.response_format, asked.response_format)
        body = transcript.text + "\n" if name == "txt" else format_named(name).render(transcript)
        media_type, named = "text/plain; charset=utf-8", {"x-stretto-status": status}
        return Response(well_formed(body).encode(), media_type=media_type, headers=named)
    if asked.response_format == "verbose_json":
        return answered(
            _verbose(transcript, asked, translation=translation), x_stretto_status=status
        )
    if asked.response_format == "diarized_json":
        return answered(_diarized(transcript), x_stretto_status=status)
    document: Document = {"text": well_formed(transcript.text), "usage": _usage(transcript)}
    if asked.logprobs:
        document["logprobs"] = _logprobs(transcript.segments)
    return answered(document, x_stretto_status=status)


def _verbose(transcript: Transcript, asked: Asked, *, translation: bool) -> Document:
    document: Document = json.loads(format_named("verbose_json").render(transcript))
    if not asked.segments:
        del document["segments"]
    if translation or not asked.words:
        document.pop("words", None)
    else:
        document.setdefault("words", [])
    if translation:
        document |= {"task": "translate", "language": "english"}
    return document


def _diarized(transcript: Transcript) -> Document:
    return {
        "task": "transcribe",
        "duration": finite(transcript.duration_s),
        "text": well_formed(transcript.text),
        "segments": [_spoken(i, segment) for i, segment in enumerate(transcript.segments)],
        "usage": _usage(transcript),
        "warnings": [NOT_TOLD_APART],
    }


def _spoken(index: int, segment: Segment) -> Document:
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{index}",
        "start": finite(segment.start),
        "end": finite(segment.end),
        "speaker": ONE_SPEAKER,
        "text": well_formed(segment.text.strip()),
    }


def _usage(transcript: Transcript) -> Document:
    return {"type": "duration", "seconds": finite(transcript.duration_s)}


def _logprobs(segments: Sequence[Segment]) -> list[Document]:
    """One for each word: the engine's own tokens are no business of a client."""
    return [_logprob(word) for segment in segments for word in segment.words]


def _logprob(word: Word) -> Document:
    token = well_formed(word.text)
    probability = max(LEAST_PROBABILITY, min(1.0, word.probability))
    return {
        "token": token,
        "bytes": list(token.encode()),
        "logprob": round(math.log(probability), 6),
    }


class Deltas:
    """The text of a job as pieces that together are the whole, however often it was begun anew."""

    def __init__(self, asked: Asked) -> None:
        self._diarized = asked.response_format == "diarized_json"
        self._logprobs = asked.logprobs
        self._attempt = 0
        self._heard = _Text()
        self._told = 0
        self.sent = ""

    def of(self, lines: Sequence[Line]) -> list[Document]:
        """What is new in the events."""
        for line in lines:
            event = line.heard.event
            if isinstance(event, JobStarted):
                self._heard, self._attempt = _Text(), event.attempt
            elif isinstance(event, JobTextHeard) and event.attempt >= self._attempt:
                self._heard.add(event.segments)
        return self._news(self._heard)

    def rest(self, transcript: Transcript) -> list[Document] | None:
        """What the transcript has behind that, and the end; None when it is another text than what
        was heard first."""
        text = _Text()
        text.add(transcript.segments)
        if not text.text.startswith(self.sent):
            return None
        news = self._news(text)
        done: Document = {"type": "transcript.text.done", "text": self.sent}
        if self._logprobs:
            done["logprobs"] = _logprobs(transcript.segments)
        return [*news, {**done, "usage": _usage(transcript)}]

    def _news(self, heard: _Text) -> list[Document]:
        news: list[Document] = []
        if len(heard.text) > len(self.sent) and heard.text.startswith(self.sent):
            delta, self.sent = heard.text[len(self.sent) :], heard.text
            news.append({"type": "transcript.text.delta", "delta": delta})
        if self._diarized and news:
            segments = heard.segments
            news += [_spoken(i, segments[i]) for i in range(self._told, len(segments))]
            self._told = max(self._told, len(segments))
        return news


class _Text:
    """Segments that come one after the other, and their text so far."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.text = ""

    def add(self, segments: Sequence[Segment]) -> None:
        self.segments += segments
        for segment in segments:
            if plain := well_formed(segment.text.strip()):
                self.text += f" {plain}" if self.text else plain


async def sent(documents: AsyncIterator[Document | None]) -> AsyncIterator[bytes]:
    """As server-sent events; None is a sign of life."""
    async for document in documents:
        if document is None:
            yield b": still here\n\n"
        else:
            yield b"data: " + msgspec.json.encode(document) + b"\n\n"
