"""Windows tile a chunk, are few, and skip what nobody needs to hear."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.processing.adapters.energy import EnergyDetector
from stretto.contexts.processing.model import AudioChunk, Samples
from stretto.contexts.processing.pauses import PauseFinder
from stretto.contexts.processing.windows import KEPT_SILENCE, heard, lay_windows
from tests.fakes.audio import a_chunk, silence, speechlike, tone

LONGEST = 29 * SAMPLE_RATE_HZ


def chunk_of(samples: Samples) -> AudioChunk:
    finder = PauseFinder()
    pauses = (*finder.feed(samples), *finder.finish())
    chunk = a_chunk(samples, speech=EnergyDetector().find(samples))
    return replace(chunk, planned=replace(chunk.planned, pauses=pauses))


def heard_in(window: Span, speech: Sequence[Span]) -> int:
    inside = [
        Span(max(s.start, window.start), min(s.end, window.end))
        for s in speech
        if s.start < window.end and s.end > window.start
    ]
    return sum(len(span) for span in heard(inside))


@pytest.fixture(scope="module")
def talk() -> AudioChunk:
    return chunk_of(speechlike(10 * 60.0, seed=11))


def test_windows_tile_the_chunk_and_none_holds_more_than_can_be_heard(talk) -> None:
    windows = lay_windows(talk, LONGEST)
    assert windows[0].start == 0
    assert windows[-1].end == len(talk.samples)
    assert all(a.end == b.start for a, b in pairwise(windows))
    assert all(0 < heard_in(window, talk.speech) <= LONGEST for window in windows)


def test_windows_are_few(talk) -> None:
    windows = lay_windows(talk, LONGEST)
    assert np.mean([heard_in(window, talk.speech) for window in windows]) > 0.75 * LONGEST


def test_windows_are_not_cut_into_words(talk) -> None:
    cuts = [window.end for window in lay_windows(talk, LONGEST)[:-1]]
    levels = [np.sqrt(np.mean(talk.samples[at - 800 : at + 800].astype(float) ** 2)) for at in cuts]
    assert np.mean(np.array(levels) < 100) > 0.95


def test_silence_costs_no_windows() -> None:
    words = speechlike(20.0, seed=5)
    quiet = np.concatenate([words, silence(120.0), words[: 5 * SAMPLE_RATE_HZ]])
    alone, along = chunk_of(words), chunk_of(quiet)
    assert len(lay_windows(alone, LONGEST)) == 1
    assert len(lay_windows(along, LONGEST)) <= 2


def test_a_chunk_without_speech_is_tiled() -> None:
    windows = lay_windows(a_chunk(silence(90.0), speech=()), LONGEST)
    assert windows[0].start == 0
    assert windows[-1].end == 90 * SAMPLE_RATE_HZ


def test_speech_without_a_pause_is_cut_all_the_same() -> None:
    samples = tone(100.0)
    chunk = a_chunk(samples, pauses=(), speech=(Span(0, len(samples)),))
    windows = lay_windows(chunk, LONGEST)
    assert len(windows) == 4
    assert all(len(window) <= LONGEST for window in windows)


def test_an_edit_changes_the_windows_of_its_blocks_alone() -> None:
    before = speechlike(15 * 60.0, seed=11)
    after = np.concatenate([speechlike(7.3, seed=3), before])
    kept = window_hashes(chunk_of(after)) & window_hashes(chunk_of(before))
    # An edit re-lays the windows of the blocks it touches: two minutes of sound on either side.
    assert len(window_hashes(chunk_of(before))) - len(kept) <= 8


def window_hashes(chunk: AudioChunk) -> set[str]:
    spans = lay_windows(chunk, LONGEST)
    return {hashlib.sha256(chunk.samples[s.start : s.end].tobytes()).hexdigest() for s in spans}


edges = st.lists(st.integers(1, 9_000), min_size=2, max_size=30, unique=True).map(sorted)


@given(edges)
def test_all_speech_is_heard_and_no_silence_longer_than_what_is_kept(found: list[int]) -> None:
    speech = [Span(a, b) for a, b in zip(found[::2], found[1::2], strict=False)]
    spans = heard(speech)
    assert (spans[0].start, spans[-1].end) == (speech[0].start, speech[-1].end)
    assert all(a.end < b.start for a, b in pairwise(spans))
    for span in speech:
        assert any(s.start <= span.start and span.end <= s.end for s in spans)
    silence_kept = sum(len(s) for s in spans) - sum(len(s) for s in speech)
    assert silence_kept <= KEPT_SILENCE * (len(speech) - 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=40), st.integers(0, 39))
def test_windows_tile_whatever_the_pauses_are(steps: list[int], spoken: int) -> None:
    positions = np.cumsum(steps) * SAMPLE_RATE_HZ // 10
    length = int(positions[-1]) + 7_777 if len(positions) else 7_777
    speech = [
        Span(int(a), int(b)) for a, b in list(pairwise([0, *positions.tolist(), length]))[:spoken:2]
    ]
    chunk = a_chunk(
        np.zeros(length, np.int16),
        pauses=tuple(int(position) for position in positions),
        speech=tuple(speech),
    )
    windows = lay_windows(chunk, LONGEST)
    assert windows[0].start == 0
    assert windows[-1].end == length
    assert all(a.end == b.start for a, b in pairwise(windows))
    assert all(heard_in(window, speech) <= LONGEST for window in windows)
