"""Text without times is laid onto the speech: all of it, in order, where somebody speaks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.external.laying import LONGEST_SENTENCE, lay_sentences, sentences_of


def speech(*spans_s: tuple[float, float]) -> list[Span]:
    return [Span(round(a * SAMPLE_RATE_HZ), round(b * SAMPLE_RATE_HZ)) for a, b in spans_s]


@st.composite
def stretches(draw: st.DrawFn) -> list[Span]:
    steps = draw(st.lists(st.integers(1, 400_000), min_size=2, max_size=20))
    edges, at = [], 0
    for step in steps:
        at += step
        edges.append(at)
    return [Span(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]


def test_two_sentences_of_one_length_share_the_speech() -> None:
    first, second = lay_sentences("Ever tried. Ever faile.", speech((1.0, 5.0)))
    assert (first.start, second.end) == (1.0, 5.0)
    assert first.end == second.start == pytest.approx(3.0, abs=0.1)
    assert first.estimated
    assert second.estimated


def test_a_sentence_begins_after_the_pause_and_not_in_it() -> None:
    first, second = lay_sentences("Ever tried. Ever failed.", speech((0.0, 2.2), (6.0, 8.0)))
    assert (first.end, second.start) == (2.2, 6.0)


def test_one_sentence_over_many_stretches_spans_them() -> None:
    (only,) = lay_sentences("No matter.", speech((1.0, 2.0), (3.0, 4.0), (9.0, 9.5)))
    assert (only.start, only.end) == (1.0, 9.5)


def test_without_text_or_without_speech_there_is_nothing() -> None:
    assert lay_sentences("  ", speech((0.0, 1.0))) == ()
    assert lay_sentences("Ghosts.", []) == ()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ('He said "no." And left.', ['He said "no."', "And left."]),
        ("Раз. Два!", ["Раз.", "Два!"]),
        ("一。二！", ["一。", "二！"]),
        ("at 3.5 percent", ["at 3.5 percent"]),
        ("line one\nline two", ["line one", "line two"]),
    ],
)
def test_sentences_end_where_a_reader_sees_them_end(text: str, sentences: list[str]) -> None:
    assert sentences_of(text) == sentences


def test_a_text_without_any_mark_is_divided_between_words() -> None:
    pieces = sentences_of("word " * 200)
    assert all(len(piece) <= LONGEST_SENTENCE for piece in pieces)
    assert " ".join(pieces).split() == ["word"] * 200


@given(st.text(max_size=600), stretches())
def test_all_text_is_there_in_order_inside_the_speech(text: str, spans: list[Span]) -> None:
    segments = lay_sentences(text, spans)
    assert "".join(s.text for s in segments).split() == "".join(sentences_of(text)).split()
    for one, following in pairwise(segments):
        assert one.end <= following.start + 1e-9
    for segment in segments:
        assert spans[0].start_s <= segment.start <= segment.end <= spans[-1].end_s


@given(st.text(max_size=400))
def test_cutting_loses_no_letter(text: str) -> None:
    assert "".join("".join(sentences_of(text)).split()) == "".join(text.split())
