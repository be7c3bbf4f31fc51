"""Merging: any order of arrival, nothing lost, nothing doubled, times of the file."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import Recognition
from stretto.contexts.core.transcript import Gap, GapReason, Segment, Word
from stretto.contexts.processing.merging import MergedResult, ResultMerger, TimestampAdjuster
from stretto.contexts.processing.model import PlannedChunk
from tests.fakes.examples import A_GAP

EXAMPLES = settings(max_examples=200, deadline=None)
ENGLISH, GERMAN = Language("en"), Language("de")
Answer = tuple[PlannedChunk, Recognition]


def a_planned(index: int, start_s: float, end_s: float, *, forced: bool = False) -> PlannedChunk:
    span = Span(round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ))
    return PlannedChunk(
        index=index, span=span, pauses=(), loudness_dbfs=-50.0 - index, forced=forced
    )


def merged(*answers: Answer) -> MergedResult:
    merger = ResultMerger()
    for chunk, recognition in answers:
        merger.add(chunk, recognition)
    return merger.merge()


def said(text: str, start: float = 0.0, end: float = 1.0) -> Recognition:
    segment = Segment(start=start, end=end, text=text)
    return Recognition(segments=(segment,), language=ENGLISH, speech_s=1.0, transcribed_s=1.0)


any_time = st.one_of(
    st.floats(-5, 40), st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e308])
)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    words = tuple(
        Word(start=draw(any_time), end=draw(any_time), text=f" {text}", probability=0.5)
        for text in draw(st.lists(st.sampled_from(["ja", "no", "oui"]), max_size=3))
    )
    text = f"{draw(st.integers(0, 10**9))}"
    return Segment(start=draw(any_time), end=draw(any_time), text=text, words=words)


@st.composite
def answers(draw: st.DrawFn) -> list[Answer]:
    """Chunks that tile a file, each with an answer that an engine should never give."""
    found: list[Answer] = []
    at = 0.0
    for index in range(draw(st.integers(0, 6))):
        length = draw(st.floats(0.5, 30))
        gaps = draw(
            st.lists(
                st.builds(
                    Gap, start=any_time, end=any_time, reason=st.sampled_from(list(GapReason))
                ),
                max_size=2,
            )
        )
        recognition = Recognition(
            segments=tuple(draw(st.lists(segments(), max_size=5))),
            language=draw(st.sampled_from([None, ENGLISH, GERMAN])),
            speech_s=length / 2,
            transcribed_s=length / 4,
            gaps=tuple(gaps),
        )
        found.append((a_planned(index, at, at + length), recognition))
        at += length
    return found


@EXAMPLES
@given(answers(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(given_answers: list[Answer], random) -> None:
    shuffled = list(given_answers)
    random.shuffle(shuffled)
    assert merged(*shuffled) == merged(*given_answers)


@EXAMPLES
@given(answers(), st.randoms(use_true_random=False))
def test_what_is_handed_on_bit_by_bit_is_what_is_merged_in_the_end(
    given_answers: list[Answer], random
) -> None:
    arriving = given_answers * 2
    random.shuffle(arriving)
    merger, handed_on = ResultMerger(), []
    for chunk, recognition in arriving:
        merger.add(chunk, recognition)
        handed_on += merger.hand_on()
    assert tuple(handed_on) == merger.merge().segments


def test_nothing_is_handed_on_before_what_comes_before_it() -> None:
    merger = ResultMerger()
    merger.add(a_planned(1, 10, 20), said("world"))
    assert merger.hand_on() == ()
    merger.add(a_planned(0, 0, 10), said("hello"))
    assert [segment.text for segment in merger.hand_on()] == ["hello", "world"]
    assert merger.hand_on() == ()


def test_what_was_handed_on_stays_whatever_better_answer_comes_later() -> None:
    merger, chunk = ResultMerger(), a_planned(0, 0, 10)
    merger.add(chunk, replace(said("a part"), gaps=(A_GAP,)))
    handed_on = merger.hand_on()
    merger.add(chunk, said("all of it"))
    assert merger.merge().segments == handed_on


@EXAMPLES
@given(answers(), st.randoms(use_true_random=False))
def test_the_same_answer_again_changes_nothing(given_answers: list[Answer], random) -> None:
    repeated = given_answers * 2
    random.shuffle(repeated)
    assert merged(*repeated) == merged(*given_answers)


@EXAMPLES
@given(answers())
def test_no_word_is_lost_or_doubled(given_answers: list[Answer]) -> None:
    result = merged(*given_answers)
    expected = [(s.text, w.text) for _, r in given_answers for s in r.segments for w in s.words]
    assert sorted((s.text, w.text) for s in result.segments for w in s.words) == sorted(expected)
    assert len(result.segments) == sum(len(r.segments) for _, r in given_answers)


@EXAMPLES
@given(answers())
def test_times_are_monotonic_and_inside_the_file(given_answers: list[Answer]) -> None:
    result = merged(*given_answers)
    edges = [0.0, *(t for s in result.segments for t in (s.start, s.end)), result.duration_s]
    assert all(a <= b for a, b in pairwise(edges))
    for segment in result.segments:
        inner = [segment.start, *(t for w in segment.words for t in (w.start, w.end)), segment.end]
        assert all(a <= b for a, b in pairwise(inner))


@EXAMPLES
@given(answers())
def test_every_segment_stays_inside_its_chunk(given_answers: list[Answer]) -> None:
    for chunk, recognition in given_answers:
        for segment in merged((chunk, recognition)).segments:
            assert chunk.span.start_s <= segment.start <= segment.end <= chunk.span.end_s


@EXAMPLES
@given(answers())
def test_gaps_are_ordered_run_forward_and_lie_inside_the_file(given_answers: list[Answer]) -> None:
    result = merged(*given_answers)
    gaps = result.coverage.gaps
    assert all(0.0 <= gap.start <= gap.end <= result.duration_s for gap in gaps)
    assert all(a.start <= b.start for a, b in pairwise(gaps))
    assert bool(gaps) == any(recognition.gaps for _, recognition in given_answers)


def test_nothing_merges_to_an_empty_result() -> None:
    result = merged()
    assert result.segments == ()
    assert result.language is None
    assert result.duration_s == 0.0
    assert result.seams == ()
    assert result.coverage.gaps == ()


def test_silence_is_no_gap_and_counts_in_the_duration() -> None:
    result = merged((a_planned(0, 0, 10), Recognition()), (a_planned(1, 10, 25), Recognition()))
    assert result.segments == ()
    assert result.coverage.gaps == ()
    assert result.duration_s == 25.0


def test_times_are_those_of_true_samples_not_of_the_index() -> None:
    result = merged((a_planned(0, 0, 12.34), said("a")), (a_planned(1, 12.34, 99), said("b", 0.5)))
    assert result.segments[1].start == pytest.approx(12.84)
    assert [segment.text for segment in result.segments] == ["a", "b"]


def test_an_engine_that_runs_over_the_edge_is_clipped() -> None:
    result = merged((a_planned(0, 0, 10), said("a", 9, 30)), (a_planned(1, 10, 20), said("b")))
    assert (result.segments[0].start, result.segments[0].end) == (9.0, 10.0)
    assert result.segments[1].start == 10.0


def test_overlapping_segments_are_put_one_behind_the_other() -> None:
    first = Segment(start=0.0, end=4.0, text="a")
    second = Segment(start=2.0, end=6.0, text="b")
    adjusted = TimestampAdjuster(Span(0, 10 * SAMPLE_RATE_HZ)).segments((second, first))
    assert [(s.text, s.start, s.end) for s in adjusted] == [("a", 0.0, 4.0), ("b", 4.0, 6.0)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_answers_the_one_with_fewer_gaps_counts(order: tuple[int, int]) -> None:
    chunk = a_planned(0, 0, 10)
    failed, whole = Recognition(gaps=(A_GAP,)), said("all of it")
    both = [(chunk, failed), (chunk, whole)]
    result = merged(*(both[at] for at in order))
    assert [segment.text for segment in result.segments] == ["all of it"]
    assert result.coverage.gaps == ()


def test_gaps_that_touch_across_a_seam_become_one_when_the_reason_is_the_same() -> None:
    first = Gap(start=8, end=10, reason=GapReason.ENGINE_FAILED, detail="no")
    second = replace(first, start=0, end=3)
    other = replace(first, start=3, end=4, reason=GapReason.NOTHING_RECOGNISED)
    result = merged(
        (a_planned(0, 0, 10), Recognition(gaps=(first,))),
        (a_planned(1, 10, 20), Recognition(gaps=(second, other))),
    )
    spans = [(gap.start, gap.end, gap.reason) for gap in result.coverage.gaps]
    assert spans == [
        (8.0, 13.0, GapReason.ENGINE_FAILED),
        (13.0, 14.0, GapReason.NOTHING_RECOGNISED),
    ]


def test_each_seam_between_two_chunks_is_recorded_and_the_end_is_none() -> None:
    result = merged(
        (a_planned(0, 0, 10, forced=True), Recognition()),
        (a_planned(1, 10, 20), Recognition()),
        (a_planned(2, 20, 30), Recognition()),
    )
    assert [(seam.at, seam.loudness_dbfs, seam.forced) for seam in result.seams] == [
        (10.0, -50.0, True),
        (20.0, -51.0, False),
    ]


def test_the_language_is_the_one_spoken_longest_and_silence_has_no_say() -> None:
    german = replace(said("ja"), language=GERMAN, transcribed_s=5.0)
    english = replace(said("yes"), transcribed_s=3.0)
    silent = Recognition(language=ENGLISH, transcribed_s=0.0)
    planned = [a_planned(index, index * 10, index * 10 + 10) for index in range(4)]
    result = merged(*zip(planned, [english, german, silent, Recognition()], strict=True))
    assert result.language == GERMAN
