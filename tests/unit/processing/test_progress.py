"""Progress is counted in audio seconds and never falls, whoever reports and in whatever order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.identifiers import AudioHash, ChunkId
from stretto.contexts.processing.model import PlannedChunk, ProcessingProgress
from stretto.contexts.processing.progress import ProgressTracker
from tests.fakes.examples import sha256_of

CHUNK_S = 10.0


def an_id(index: int) -> ChunkId:
    return ChunkId(index, AudioHash(sha256_of(str(index))))


def a_planned(index: int) -> PlannedChunk:
    length = int(CHUNK_S * SAMPLE_RATE_HZ)
    span = Span(index * length, (index + 1) * length)
    return PlannedChunk(index=index, span=span, pauses=(), loudness_dbfs=-60.0, forced=False)


def assert_never_falls(seen: list[ProcessingProgress]) -> None:
    for a, b in pairwise(seen):
        assert a.done_s <= b.done_s
        assert a.chunks_done <= b.chunks_done
        assert a.fraction <= b.fraction
    assert all(0.0 <= progress.fraction <= 1.0 for progress in seen)


def test_a_file_runs_from_zero_to_one() -> None:
    seen: list[ProcessingProgress] = []
    tracker = ProgressTracker(20.0, seen.append)
    assert tracker.current.fraction == 0.0
    for index in range(2):
        tracker.planned(a_planned(index))
        tracker.progressed(an_id(index), 4.0)
        tracker.finished(an_id(index), CHUNK_S)
    tracker.decoded(20.0)
    assert [p.done_s for p in seen] == [4.0, 10.0, 14.0, 20.0, 20.0]
    assert seen[-1].fraction == 1.0
    assert (seen[-1].chunks_done, seen[-1].chunks_known) == (2, 2)


def test_a_retry_that_starts_over_does_not_let_it_fall() -> None:
    seen: list[ProcessingProgress] = []
    tracker = ProgressTracker(20.0, seen.append)
    for done_s in (3.0, 9.0, 0.0, 5.0, 10.0):
        tracker.progressed(an_id(0), done_s)
    assert_never_falls(seen)
    assert tracker.current.done_s == 10.0


def test_a_late_report_of_a_finished_chunk_counts_nothing_twice() -> None:
    tracker = ProgressTracker(20.0)
    tracker.finished(an_id(0), CHUNK_S)
    assert tracker.current.done_s == CHUNK_S


def test_without_a_known_duration_there_is_no_fraction_until_the_end_is_reached() -> None:
    tracker = ProgressTracker(None)
    tracker.planned(a_planned(0))
    tracker.finished(an_id(0), CHUNK_S)
    assert tracker.current.fraction == 0.0
    tracker.decoded(CHUNK_S)
    assert tracker.current.fraction == 1.0


@pytest.mark.parametrize("claimed_s", [0.1, 5.0, 15.0, 29.0, 31.0, 1e6])
def test_a_header_that_is_wrong_about_the_duration_does_not_let_it_fall(claimed_s: float) -> None:
    seen: list[ProcessingProgress] = []
    tracker = ProgressTracker(claimed_s, seen.append)
    for index in range(3):
        tracker.planned(a_planned(index))
        tracker.progressed(an_id(index), 8.0)
        tracker.finished(an_id(index), CHUNK_S)
    tracker.decoded(30.0)
    assert_never_falls(seen)
    assert seen[-1].fraction == 1.0


def test_a_finished_file_is_at_one_to_the_last_digit() -> None:
    tracker = ProgressTracker(1.0)
    for index in range(10):
        tracker.finished(an_id(index), 0.1)  # ten tenths are less than one in binary fractions
    tracker.decoded(1.0)
    assert tracker.current.fraction == 1.0


def test_an_empty_file_is_not_divided_by() -> None:
    tracker = ProgressTracker(0.0)
    tracker.decoded(0.0)
    assert tracker.current.fraction in (0.0, 1.0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, CHUNK_S)), max_size=40))
def test_whatever_is_reported_it_never_falls(reports: list[tuple[int, float]]) -> None:
    seen: list[ProcessingProgress] = []
    tracker = ProgressTracker(50.0, seen.append)
    for index, done_s in reports:
        tracker.progressed(an_id(index), done_s)
    for index in range(5):
        tracker.finished(an_id(index), CHUNK_S)
    assert_never_falls(seen)
    assert seen[-1].done_s == 50.0


def test_it_never_falls_when_many_threads_report() -> None:
    seen: list[ProcessingProgress] = []
    tracker = ProgressTracker(16 * CHUNK_S, seen.append)

    def work(index: int) -> None:
        for tenth in range(10):
            tracker.progressed(an_id(index), tenth * CHUNK_S / 10)
        tracker.finished(an_id(index), CHUNK_S)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))
    tracker.decoded(16 * CHUNK_S)
    assert_never_falls(seen)
    assert seen[-1].fraction == 1.0
    assert seen[-1].chunks_done == 16
