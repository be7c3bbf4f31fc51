"""Answers of a speech service: what is one, and what never gets into a transcript."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import UnusableAnswer
from stretto.contexts.core.identifiers import Language
from stretto.contexts.external.model import LONGEST_ANSWER_BYTES, APIResponse
from stretto.contexts.external.parser import (
    APIResponseParser,
    ParsedAnswer,
    ResponseFormat,
    error_message,
    longest_answer_bytes,
)

VERBOSE = {
    "task": "transcribe",
    "language": "english",
    "duration": 8.0,
    "text": "Ever tried. Ever failed.",
    "segments": [
        {"id": 0, "start": 0.0, "end": 3.5, "text": " Ever tried.", "avg_logprob": -0.2},
        {"id": 1, "start": 3.5, "end": 8.0, "text": " Ever failed.", "no_speech_prob": 0.1},
    ],
    "words": [
        {"word": "Ever", "start": 0.0, "end": 0.5},
        {"word": "tried.", "start": 0.5, "end": 1.5},
        {"word": "Ever", "start": 4.0, "end": 4.5},
        {"word": "failed.", "start": 4.5, "end": 6.0},
    ],
}


def answer(body: object, *, kind: str = "application/json", **headers: str) -> APIResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return APIResponse(
        status=200, headers={"content-type": kind, **named}, body=data, protocol="HTTP/2"
    )


def parsed(
    body: object, *, expected: ResponseFormat = ResponseFormat.JSON, **given: Any
) -> ParsedAnswer:
    return APIResponseParser(expected).parse(answer(body, **given), duration_s=8.0)


def changed(index: int, **fields: Any) -> dict[str, Any]:
    """The verbose answer with other values in one of its segments."""
    segments = [dict(one) for one in VERBOSE["segments"]]  # type: ignore[attr-defined]
    segments[index] |= fields
    return {**VERBOSE, "segments": segments}


def test_json_has_a_text_and_no_times() -> None:
    assert parsed({"text": " Ever tried. "}) == ParsedAnswer(text="Ever tried.")


def test_text_is_the_whole_body() -> None:
    said = parsed(b"Ever tried.\nEver failed.\n", expected=ResponseFormat.TEXT, kind="text/plain")
    assert said.text == "Ever tried. Ever failed."


def test_a_service_that_answers_json_when_asked_for_text_is_understood() -> None:
    assert parsed({"text": "Ever tried."}, expected=ResponseFormat.TEXT).text == "Ever tried."


def test_verbose_json_has_segments_words_and_the_language() -> None:
    said = parsed(VERBOSE, expected=ResponseFormat.VERBOSE_JSON)
    assert said.language == Language("en")
    assert [(s.start, s.end, s.text) for s in said.segments] == [
        (0.0, 3.5, "Ever tried."),
        (3.5, 8.0, "Ever failed."),
    ]
    assert [[w.text for w in s.words] for s in said.segments] == [
        ["Ever", "tried."],
        ["Ever", "failed."],
    ]
    assert not any(segment.estimated for segment in said.segments)


def test_a_service_that_ignores_the_wish_for_times_is_understood() -> None:
    assert parsed({"text": "Ever."}, expected=ResponseFormat.VERBOSE_JSON).segments == ()


def test_a_language_nobody_knows_is_none() -> None:
    assert parsed({"text": "nuqneH", "language": "klingon"}).language is None
    assert parsed({"text": "nuqneH", "language": 7}).language is None


def test_times_a_little_beyond_the_end_are_cut() -> None:
    said = parsed(changed(1, end=9.5), expected=ResponseFormat.VERBOSE_JSON)
    assert said.segments[-1].end == 8.0


def test_small_overlaps_are_cut_as_well() -> None:
    said = parsed(changed(1, start=3.0), expected=ResponseFormat.VERBOSE_JSON)
    assert said.segments[1].start == 3.5


BAD: dict[str, object] = {
    "cut off": json.dumps(VERBOSE).encode()[:-40],
    "nothing": b"",
    "blank": b"   \n",
    "a page": b"<!doctype html><html><body>502 Bad Gateway</body></html>",
    "no object": b"[1, 2]",
    "null": b"null",
    "no text": {"segments": []},
    "text of the wrong kind": {"text": ["a"]},
    "an error with status 200": {"error": {"message": "out of memory"}},
    "bytes": b"\xff\xfe\x00",
    "deeply nested": b"[" * 100_000,
    "ten megabytes": {"text": "a" * 10_000_000},
    "a text too long for the audio": {"text": "la " * 2000},
    "half a character": b'{"text": "\\ud83d"}',
    "NaN": json.dumps(changed(0, start=float("nan"))).encode(),
    "infinity": b'{"text": "a", "segments": [{"start": 0, "end": 1e999, "text": "a"}]}',
    "negative times": changed(0, start=-3.0),
    "times that run backward": changed(0, start=3.0, end=1.0),
    "times far beyond the end": changed(1, end=800.0),
    "segments that overlap": changed(1, start=0.2),
    "times that are text": changed(0, start="0:00"),
    "times that are truth": changed(0, start=True),
    "segments without a text": changed(0, text=None),
    "segments that are no list": {**VERBOSE, "segments": {"a": 1}},
    "segments that are numbers": {**VERBOSE, "segments": [1]},
    "words without times": {**VERBOSE, "words": [{"word": "a"}]},
    "empty lists without end": b'{"text": "a", "segments": [' + b"[]," * 100_000 + b"[]]}",
    "more segments than sounds": {
        "text": "a",
        "segments": [{"start": 0, "end": 1, "text": "a"}] * 400,
    },
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_transcript_is_refused_in_one_typed_error(name: str) -> None:
    with pytest.raises(UnusableAnswer, match="nothing of it was used"):
        parsed(BAD[name], expected=ResponseFormat.VERBOSE_JSON)


def test_what_is_longer_than_any_transcript_of_so_much_audio_is_refused() -> None:
    assert longest_answer_bytes(10.0) < longest_answer_bytes(1000.0) < longest_answer_bytes(1e6)
    assert longest_answer_bytes(1e6) == LONGEST_ANSWER_BYTES
    body = json.dumps({"text": "a", "filler": "a" * longest_answer_bytes(8.0)}).encode()
    with pytest.raises(UnusableAnswer, match="far more than a transcript has"):
        parsed(body)


def test_a_page_is_refused_where_text_was_asked_for() -> None:
    with pytest.raises(UnusableAnswer, match="web page"):
        parsed(BAD["a page"], expected=ResponseFormat.TEXT, kind="text/html")


def test_what_was_compressed_unasked_is_not_unpacked() -> None:
    bomb = gzip.compress(b'{"text": "' + b"a" * 10**7)
    with pytest.raises(UnusableAnswer, match="compressed"):
        parsed(bomb, content_encoding="gzip")


@given(st.binary(max_size=300), st.sampled_from(ResponseFormat))
def test_any_bytes_are_a_transcript_or_a_typed_error(body: bytes, expected: ResponseFormat) -> None:
    try:
        said = parsed(body, expected=expected)
    except UnusableAnswer:
        return
    assert said.text.isprintable()


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_segments = st.lists(
    st.dictionaries(st.sampled_from(["start", "end", "text", "words"]), _scalars), max_size=4
)


@given(st.fixed_dictionaries({"text": st.just("a"), "segments": _segments}))
def test_segments_that_pass_are_ordered_and_inside_the_audio(document: dict[str, Any]) -> None:
    try:
        said = parsed(document, expected=ResponseFormat.VERBOSE_JSON)
    except UnusableAnswer:
        return
    edges = [t for s in said.segments for t in (s.start, s.end)]
    assert edges == sorted(edges)
    assert all(0.0 <= t <= 8.0 for t in edges)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "Slow down."}}, "Slow down."),
        ({"message": "Maximum content size limit"}, "Maximum content size limit"),
        ({"error": "no such model"}, "no such model"),
        (b"upstream timed out\r\nforged: line\x1b[31m", "upstream timed out forged: line [31m"),
        (b"", "without a reason"),
        ({"error": {"message": "a" * 5000}}, "a" * 300),
    ],
)
def test_what_the_service_says_is_wrong_is_one_short_line(body: object, said: str) -> None:
    assert error_message(answer(body)) == said


def test_a_web_page_is_not_quoted() -> None:
    assert error_message(answer(BAD["a page"], kind="text/html")) == "without a reason"
