"""Corrections by hand: what stays, what moves, and that no engine is said to have heard it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.core.transcript import Segment, Transcript, Word
from stretto.contexts.processing.editing import TextEdit, edited, request_of
from tests.fakes.examples import a_transcript, a_transcript_request

NEW = TranscriptId.parse("00000000-0000-4000-8000-000000000001")
WORDS = st.lists(st.sampled_from(["it", "was", "the", "best", "of", "times"]), max_size=8)


def spoken(text: str, *, start: float = 0.0) -> Segment:
    names = text.split()
    words = tuple(
        Word(start=start + n, end=start + n + 1, text=f" {name}", probability=0.5)
        for n, name in enumerate(names)
    )
    return Segment(start=start, end=start + len(names), text=text, words=words, tokens=(1, 2))


def of(*segments: Segment) -> Transcript:
    return replace(a_transcript(), segments=segments)


def change(transcript: Transcript, *edits: tuple[int, str]) -> Transcript:
    changes = [TextEdit(index=index, text=text) for index, text in edits]
    return edited(transcript, changes, new_id=NEW, at=Timestamp(7.0))


def test_a_word_that_was_replaced_has_the_time_of_the_one_before() -> None:
    (segment,) = change(of(spoken("the beast of times")), (0, "the best of times")).segments
    assert [(w.text, w.start, w.end) for w in segment.words] == [
        (" the", 0, 1),
        (" best", 1, 2),
        (" of", 2, 3),
        (" times", 3, 4),
    ]
    assert [w.probability for w in segment.words] == [0.5, 1.0, 0.5, 0.5]
    assert segment.tokens == ()


def test_two_words_in_the_place_of_one_share_its_time() -> None:
    (segment,) = change(of(spoken("a foolishness b")), (0, "a foolish ness b")).segments
    assert [(w.start, w.end) for w in segment.words] == [(0, 1), (1, 1.5), (1.5, 2), (2, 3)]


def test_a_word_that_came_between_takes_no_time() -> None:
    (segment,) = change(of(spoken("a b")), (0, "a new b")).segments
    assert [(w.start, w.end) for w in segment.words] == [(0, 1), (1, 1), (1, 2)]


def test_a_segment_without_words_stays_without() -> None:
    before = replace(spoken("a b"), words=())
    (segment,) = change(of(before), (0, "c")).segments
    assert (segment.text, segment.words) == ("c", ())


def test_an_empty_text_removes_the_segment() -> None:
    before = of(spoken("a"), spoken("b", start=1), spoken("c", start=2))
    assert [s.text for s in change(before, (1, " \n")).segments] == ["a", "c"]


@pytest.mark.parametrize("edits", [[(1, "x")], [(0, "x"), (0, "y")]])
def test_a_segment_that_is_not_there_or_is_named_twice_is_refused(
    edits: list[tuple[int, str]],
) -> None:
    with pytest.raises(InvalidOption):
        change(of(spoken("a")), *edits)


@given(before=WORDS.filter(bool), after=WORDS.filter(bool))
def test_words_are_those_of_the_text_in_order_and_inside_the_segment(
    before: list[str], after: list[str]
) -> None:
    (segment,) = change(of(spoken(" ".join(before))), (0, " ".join(after))).segments
    assert [w.text.strip() for w in segment.words] == after
    edges = [edge for w in segment.words for edge in (w.start, w.end)]
    assert edges == sorted(edges)
    assert segment.start <= edges[0]
    assert edges[-1] <= segment.end


def test_a_correction_is_kept_as_nothing_that_an_engine_is_asked_for() -> None:
    transcript = of(spoken("a"))
    asked = request_of(transcript, scope="anna")
    assert asked.scope == "anna"
    assert asked.engine.engine_version == "edited"
    assert asked != a_transcript_request()
    assert asked != request_of(replace(transcript, id=NEW), scope="anna")
