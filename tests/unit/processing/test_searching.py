"""What is a word, when two are the same, which text fits best, and what of it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.processing.adapters.segments import segment_rows, time_of
from stretto.contexts.processing.adapters.stemming import stem
from stretto.contexts.processing.searching import (
    PASSAGE_CHARACTERS,
    Match,
    Query,
    match,
    passage,
    tokens_of,
)
from tests.fakes.examples import a_transcript


def found(query: str, text: str) -> Match | None:
    return match(Query.parse(query, stem=stem), tokens_of(text, stem=stem))


def marked(query: str, text: str) -> list[str]:
    there = found(query, text)
    return [text[a:b] for a, b in there.marks] if there else []


@pytest.mark.parametrize(
    ("query", "text", "marks"),
    [
        ("meeting", "We met at two meetings.", ["meetings"]),
        ("MEETINGS run", "He runs the meeting", ["runs", "meeting"]),
        ("встреча", "Мы говорили о встречах.", ["встречах"]),
        ("ВСТРЕЧАМИ", "Встреча прошла", ["Встреча"]),
        ("ёлка", "Елки стоят", ["Елки"]),
        ('"best of times"', "It was the best of times", ["best of times"]),
        ("«лучшее время»", "Это было лучшее время", ["лучшее время"]),
        ("universi*", "The university opened", ["university"]),
        ("transcri*", "transcribed, transcripts", ["transcribed", "transcripts"]),
        ("универси*", "Университетами", ["Университетами"]),
        ("well-known", "a well known man", ["well known"]),
        ("会议", "今天的会议很长", ["会议"]),
        ("नमस्*", "वे नमस्ते कहते हैं", ["नमस"]),
        ("❶", "step ❶", ["❶"]),
        ("naïve", "how nai\u0308ve", ["nai\u0308ve"]),
        ("3d mp3", "A 3D scan as mp3", ["3D", "mp3"]),
        ("STRASSE", "die Straße", ["Straße"]),
    ],
)
def test_words_are_found_in_all_their_forms(query: str, text: str, marks: list[str]) -> None:
    assert marked(query, text) == marks


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ('"times best"', "the best of times"),
        ('"best times"', "the best of times"),
        ("best worst", "the best of times"),
        ("universi*", "the universe"),
        ("会议", "议会"),
        ("cat", "concatenate"),
    ],
)
def test_what_is_not_there_is_not_found(query: str, text: str) -> None:
    assert found(query, text) is None


@pytest.mark.parametrize("text", ["", "   ", "!?", '""', "*", "—", "\0", "🎵", "' = --"])
def test_a_search_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="no word to search for"):
        Query.parse(text, stem=stem)


def test_a_search_that_is_a_book_is_refused() -> None:
    with pytest.raises(InvalidOption, match="1000 characters"):
        Query.parse("a" * 1001, stem=stem)


@given(st.text(max_size=300))
def test_any_text_is_a_search_or_is_refused_and_its_words_are_letters_and_digits(text: str) -> None:
    try:
        query = Query.parse(text, stem=stem)
    except InvalidOption:
        return
    words = [word for term in query.terms for word in (*term.words, *term.stems)]
    assert words
    assert not any(c in word for word in words for c in "'\"\\*&|!():<>-\0 \n;")


@given(st.text(max_size=200))
def test_every_word_of_a_text_finds_that_text(text: str) -> None:
    for token in tokens_of(text, stem=stem)[:20]:
        assert match(Query.parse(token.plain, stem=stem), tokens_of(text, stem=stem))


def score(query: str, text: str) -> float:
    there = found(query, text)
    assert there
    return there.score


def test_more_is_better_shorter_is_better_and_the_very_form_is_best() -> None:
    assert score("ship", "ship after ship") > score("ship", "one ship was there")
    assert score("ship", "a ship") > score("ship", "a ship " + "and much more " * 20)
    assert score("ship", "a ship here") > score("ship", "the ships here")


def test_a_short_text_is_shown_whole_and_on_one_line() -> None:
    assert passage("the\nbest\x1b of", ((4, 8),)) == ("the best  of", ((4, 8),))


def test_of_a_long_text_the_part_around_the_word_is_shown() -> None:
    text = "before " * 60 + "needle " + "after " * 60
    shown, marks = passage(text, ((420, 426),))
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) <= PASSAGE_CHARACTERS + 2
    assert [shown[a:b] for a, b in marks] == ["needle"]


def test_the_time_is_that_of_the_word_where_words_have_times() -> None:
    (row,) = segment_rows(a_transcript("It was the best of times"))
    assert time_of(0, row["text"], row["words"], otherwise=9.0) == 0.5
    assert time_of(0, "It was", b"\x90", otherwise=9.0) == 9.0
