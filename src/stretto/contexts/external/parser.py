"""Reads what a speech service answers, and lets nothing into a transcript that is none.

The shapes are OpenAI's: ``json``, ``verbose_json`` and ``text``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NoReturn

from stretto.contexts.core.errors import InvalidLanguage, UnusableAnswer
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.transcript import Segment, Word
from stretto.contexts.external.model import LONGEST_ANSWER_BYTES, MEBIBYTE, APIResponse

MOST_BYTES_PER_SECOND: Final = 4096
"""Several times what the times of all words and the tokens of a model take, each on a line."""

MOST_PARTS_PER_SECOND: Final = 60.0
FEWEST_PARTS_ALLOWED: Final = 1000
"""Objects and lists of JSON: a megabyte of empty ones takes twenty megabytes of memory."""

MOST_CHARACTERS_PER_SECOND: Final = 60.0
"""Twice the fastest speech of any script; a service that repeats itself exceeds it."""

FEWEST_CHARACTERS_ALLOWED: Final = 2000
MOST_SEGMENTS_PER_SECOND: Final = 20.0
TOLERANCE_S: Final = 2.0
"""Services pad what they hear: times may lie so far beyond the end of the audio."""

LONGEST_MESSAGE: Final = 300


class ResponseFormat(StrEnum):
    JSON = "json"
    VERBOSE_JSON = "verbose_json"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAnswer:
    """``segments`` is empty when the service tells no times; they are seconds of the audio."""

    text: str
    segments: tuple[Segment, ...] = ()
    language: Language | None = None


class APIResponseParser:
    """Every refusal is an UnusableAnswer that says what was wrong."""

    def __init__(self, expected: ResponseFormat) -> None:
        self._expected = expected

    def parse(self, response: APIResponse, *, duration_s: float) -> ParsedAnswer:
        text = _decoded(response, duration_s)
        if self._expected is ResponseFormat.TEXT and not _is_json(response, text):
            if "json" not in _media_type(response) and _looks_like_markup(text):
                _refuse("a web page instead of a transcript")
            return ParsedAnswer(text=_checked_text(text, duration_s))
        document = _document(text, duration_s)
        if "error" in document and not document.get("text"):
            _refuse(f"an error with status {response.status}: {_message_in(document)}")
        said = document.get("text")
        if not isinstance(said, str):
            _refuse("JSON without a text")
        return ParsedAnswer(
            text=_checked_text(said, duration_s),
            segments=_segments(document, duration_s),
            language=_language(document.get("language")),
        )


def longest_answer_bytes(duration_s: float) -> int:
    """So long is no transcript of so much audio: it need not be read to its end."""
    return min(LONGEST_ANSWER_BYTES, MEBIBYTE + int(MOST_BYTES_PER_SECOND * duration_s))


def error_message(response: APIResponse) -> str:
    """What the service says is wrong, in one short line without control characters."""
    try:
        document = json.loads(response.body[:LONGEST_ANSWER_BYTES])
    except (ValueError, RecursionError):
        document = None
    said = _message_in(document) if isinstance(document, dict) else ""
    if not said and "html" not in _media_type(response):
        said = response.body[:LONGEST_MESSAGE].decode("utf-8", "replace")
    plain = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return plain[:LONGEST_MESSAGE] or "without a reason"


def _message_in(document: Mapping[str, Any]) -> str:
    error = document.get("error", document)
    said = error.get("message", "") if isinstance(error, dict) else error
    return said if isinstance(said, str) else ""


def _decoded(response: APIResponse, duration_s: float) -> str:
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        _refuse("compressed data that was not asked for")
    if len(response.body) > longest_answer_bytes(duration_s):
        _refuse(f"{len(response.body)} bytes, far more than a transcript has")
    try:
        return response.body.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("bytes that are no text")


def _media_type(response: APIResponse) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_json(response: APIResponse, text: str) -> bool:
    return "json" in _media_type(response) or text.lstrip()[:2] in {'{"', "{\n"}


def _looks_like_markup(text: str) -> bool:
    return text.lstrip()[:1] == "<" and text.rstrip()[-1:] == ">"


def _document(text: str, duration_s: float) -> dict[str, Any]:
    if _looks_like_markup(text):
        _refuse("a web page instead of a transcript")
    parts = text.count("{") + text.count("[")
    if parts > FEWEST_PARTS_ALLOWED + MOST_PARTS_PER_SECOND * duration_s:
        _refuse(f"{parts} objects and lists for {duration_s:.0f} s of audio")
    try:
        document = json.loads(text, parse_constant=lambda name: _refuse(f"the number {name}"))
    except (ValueError, RecursionError):
        _refuse("JSON that is cut off or damaged" if text.strip() else "nothing")
    if not isinstance(document, dict):
        _refuse("JSON that is no transcript")
    return document


def _checked_text(text: str, duration_s: float) -> str:
    most = FEWEST_CHARACTERS_ALLOWED + MOST_CHARACTERS_PER_SECOND * duration_s
    if len(text) > most:
        _refuse(f"{len(text)} characters for {duration_s:.0f} s of audio")
    if any("\ud800" <= character <= "\udfff" for character in text):
        _refuse("halves of characters")
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _segments(document: Mapping[str, Any], duration_s: float) -> tuple[Segment, ...]:
    given = document.get("segments") or ()
    words = _words(document.get("words") or (), duration_s)
    if not isinstance(given, list) and given:
        _refuse("segments that are no list")
    if len(given) > 100 + MOST_SEGMENTS_PER_SECOND * duration_s:
        _refuse(f"{len(given)} segments for {duration_s:.0f} s of audio")
    segments = []
    at = 0.0
    for one in given:
        if not isinstance(one, dict) or not isinstance(one.get("text"), str):
            _refuse("a segment without a text")
        start, end = _times(one, at, duration_s)
        at = end
        text = _checked_text(one["text"], duration_s)
        if text and end > start:
            segments.append(_measured(Segment(start=start, end=end, text=text), one))
    return tuple(_with_words(segment, words) for segment in segments)


def _words(given: Any, duration_s: float) -> list[Word]:
    if not isinstance(given, list | tuple):
        _refuse("words that are no list")
    words = []
    at = 0.0
    for one in given:
        if not isinstance(one, dict) or not isinstance(one.get("word"), str):
            _refuse("a word without a text")
        start, end = _times(one, at, duration_s)
        at = end
        probability = _number(one.get("probability", 1.0))
        words.append(
            Word(
                start=start,
                end=end,
                text=_checked_text(one["word"], duration_s),
                probability=min(1.0, max(0.0, probability)),
            )
        )
    return [word for word in words if word.text]


def _with_words(segment: Segment, words: list[Word]) -> Segment:
    """The segment with the words whose middle lies in it, inside its times."""
    inside = [w for w in words if segment.start <= (w.start + w.end) / 2 < segment.end]
    cut = [
        replace(w, start=max(w.start, segment.start), end=min(w.end, segment.end)) for w in inside
    ]
    return replace(segment, words=tuple(cut))


def _times(one: Mapping[str, Any], at: float, duration_s: float) -> tuple[float, float]:
    """Of a segment or word, after ``at``. Small overlaps are cut, larger ones refused."""
    start, end = _number(one.get("start")), _number(one.get("end"))
    if start < 0 or end < start or end > duration_s + TOLERANCE_S:
        _refuse(f"times from {start:.2f} to {end:.2f} s in {duration_s:.2f} s of audio")
    if start < at - TOLERANCE_S:
        _refuse("segments that overlap")
    end = min(max(end, at), duration_s)
    return min(max(start, at), end), end


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        _refuse("a time that is no number")
    return float(value)


def _measured(segment: Segment, one: Mapping[str, Any]) -> Segment:
    """The segment with what the service says of how sure it is, as far as it does."""

    def said(name: str, usual: float) -> float:
        return _number(one[name]) if name in one else usual

    return replace(
        segment,
        average_log_probability=said("avg_logprob", segment.average_log_probability),
        compression_ratio=said("compression_ratio", segment.compression_ratio),
        no_speech_probability=said("no_speech_prob", segment.no_speech_probability),
        temperature=said("temperature", segment.temperature),
    )


def _language(given: object) -> Language | None:
    """What the service heard, by a code or an English name; nothing if it is neither."""
    if not isinstance(given, str) or not given.strip():
        return None
    try:
        return Language.parse(given)
    except InvalidLanguage:
        return None


def _refuse(what: str) -> NoReturn:
    raise UnusableAnswer(f"The service answered with {what}; nothing of it was used.")
