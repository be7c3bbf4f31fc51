"""Words get the times at which they were said, and sentences become segments."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.transcript import Word
from stretto.contexts.processing.adapters.whisper.quality import Candidate
from stretto.contexts.processing.adapters.whisper.timing import (
    LONGEST_SEGMENT_S,
    segments_of,
    timed_words,
    token_starts,
)
from stretto.contexts.processing.adapters.whisper.vocabulary import WordTokens

CANDIDATE = Candidate(
    tokens=(1,), text="x", log_probability=-0.2, no_speech_probability=0.1, temperature=0.4
)


def speech(*edges_s: tuple[float, float]) -> tuple[Span, ...]:
    return tuple(
        Span(round(start * SAMPLE_RATE_HZ), round(end * SAMPLE_RATE_HZ)) for start, end in edges_s
    )


def said(text: str, start: float, end: float) -> Word:
    return Word(start=start, end=end, text=text, probability=0.9)


def test_a_token_begins_at_its_first_step() -> None:
    path = [(0, 0), (0, 10), (1, 50), (1, 60), (2, 100)]
    assert token_starts(path, 2) == [0.0, 1.0, 2.0]


def test_a_token_that_the_path_skips_begins_where_its_successor_does() -> None:
    starts = token_starts([(0, 5), (2, 50), (3, 70)], 3)
    assert starts == pytest.approx([0.1, 1.0, 1.0, 1.4])


def test_a_path_that_ends_early_ends_everything_there() -> None:
    assert token_starts([(0, 0), (1, 50)], 3) == [0.0, 1.0, 1.0, 1.0]


def test_without_a_path_everything_begins_at_zero() -> None:
    assert token_starts([], 2) == [0.0, 0.0, 0.0]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), max_size=50), st.integers(0, 30))
def test_starts_never_run_backwards(steps: list[tuple[int, int]], count: int) -> None:
    path, token, step = [], 0, 0
    for forward, further in steps:
        token, step = token + forward, step + further
        path.append((token, step))
    starts = token_starts(path, count)
    assert len(starts) == count + 1
    assert starts == sorted(starts)


def test_a_word_is_held_to_the_speech_it_meets() -> None:
    words = [WordTokens(" hello", (1, 2)), WordTokens(" you", (3,))]
    (hello, you) = timed_words(
        words, [0.0, 0.9, 1.2, 4.0], [0.8, 0.4, 1.0], speech((0.5, 1.1), (1.5, 2.0))
    )
    assert (hello.start, hello.end) == (0.5, 1.1)
    assert (you.start, you.end) == (1.5, 2.0)
    assert hello.probability == pytest.approx(0.6)


def test_a_word_that_meets_no_speech_keeps_its_times() -> None:
    (word,) = timed_words([WordTokens(" oh", (1,))], [3.0, 3.5], [0.5], speech((0.0, 1.0)))
    assert (word.start, word.end) == (3.0, 3.5)


def test_of_a_word_that_reaches_over_a_pause_the_longer_part_counts() -> None:
    words = [WordTokens(" well", (1,))]
    (word,) = timed_words(words, [0.0, 5.0], [0.5], speech((0.0, 0.2), (4.0, 5.0)))
    assert (word.start, word.end) == (4.0, 5.0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=20).flatmap(
        lambda lengths: st.tuples(
            st.just(lengths),
            st.lists(st.floats(0, 30), min_size=sum(lengths) + 1, max_size=sum(lengths) + 1).map(
                sorted
            ),
        )
    ),
    st.lists(st.floats(0, 30), max_size=8).map(lambda edges: sorted(edges)[: len(edges) // 2 * 2]),
)
def test_words_are_ordered_have_a_length_and_do_not_overlap(
    lengths_and_starts: tuple[list[int], list[float]], edges: list[float]
) -> None:
    lengths, starts = lengths_and_starts
    words = [WordTokens(" w", (7,) * length) for length in lengths]
    spans = speech(*zip(edges[::2], edges[1::2], strict=True))
    timed = timed_words(words, starts, [0.5] * sum(lengths), spans)
    assert len(timed) == len(words)
    assert all(word.end > word.start >= 0.0 for word in timed)
    assert all(a.end <= b.start for a, b in pairwise(timed))


def test_a_segment_ends_at_a_full_stop_even_inside_quotation_marks() -> None:
    words = [
        said(" “Yes.”", 0, 1),
        said(" He", 1, 1.2),
        said(" nodded.", 1.2, 2),
        said(" Go", 2, 3),
    ]
    segments = segments_of(words, CANDIDATE)
    assert [segment.text for segment in segments] == ["“Yes.”", "He nodded.", "Go"]


def test_a_segment_ends_at_a_long_pause() -> None:
    words = [said(" one", 0, 1), said(" two", 1.7, 2), said(" three", 2.9, 3)]
    assert [s.text for s in segments_of(words, CANDIDATE)] == ["one two", "three"]


def test_no_segment_grows_too_long() -> None:
    words = [said(" on", at * 0.5, at * 0.5 + 0.5) for at in range(60)]
    segments = segments_of(words, CANDIDATE)
    assert all(s.end - s.start <= LONGEST_SEGMENT_S for s in segments)
    assert [w.text for s in segments for w in s.words] == [w.text for w in words]


def test_a_segment_has_the_marks_of_its_decoding() -> None:
    (segment,) = segments_of([said(" Hi", 10.5, 11.0)], CANDIDATE)
    assert (segment.start, segment.end, segment.text) == (10.5, 11.0, "Hi")
    assert segment.words == (said(" Hi", 10.5, 11.0),)
    assert segment.average_log_probability == -0.2
    assert segment.no_speech_probability == 0.1
    assert segment.temperature == 0.4


def test_no_words_are_no_segment() -> None:
    assert segments_of([], CANDIDATE) == ()
