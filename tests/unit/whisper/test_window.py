"""What a model hears of a window, and where in the chunk its words stand."""

from __future__ import annotations

import numpy as np
import pytest

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.transcript import Word
from stretto.contexts.processing.adapters.whisper.window import Window, window_of

SECOND = SAMPLE_RATE_HZ
SAMPLES = np.arange(30 * SECOND, dtype=np.int32).astype(np.int16)


def seconds(start: float, end: float) -> Span:
    return Span(round(start * SECOND), round(end * SECOND))


@pytest.fixture
def window() -> Window:
    """Five seconds are skipped between two sentences, 0.05 s are kept on either side."""
    speech = [seconds(1, 3), seconds(8.1, 10), seconds(20, 21)]
    found = window_of(SAMPLES, seconds(0, 15), speech)
    assert found is not None
    return found


def said(start: float, end: float) -> Word:
    return Word(start=start, end=end, text="x", probability=1.0)


def times(word: Word) -> tuple[float, float]:
    return pytest.approx(word.start), pytest.approx(word.end)


def test_silence_is_skipped_and_speech_is_not(window: Window) -> None:
    assert window.pieces == (seconds(1, 3.05), seconds(8.05, 10))
    expected = np.concatenate([SAMPLES[span.start : span.end] for span in window.pieces])
    assert np.array_equal(window.samples, expected)
    assert window.speech == (seconds(0, 2), seconds(2.1, 4))
    assert window.speech_s == pytest.approx(3.9)


def test_its_place_runs_from_the_first_to_the_last_speech(window: Window) -> None:
    assert window.place == seconds(1, 10)


@pytest.mark.parametrize(
    ("heard", "spoken"),
    [
        ((0.0, 0.5), (1.0, 1.5)),
        ((1.5, 2.05), (2.5, 3.05)),  # ends at the seam: before the silence
        ((2.05, 2.5), (8.05, 8.5)),  # starts at the seam: behind it
        ((1.9, 2.2), (2.9, 8.2)),
        ((3.5, 4.0), (9.5, 10.0)),
        ((3.9, 4.5), (9.9, 10.5)),
    ],
)
def test_a_word_is_put_where_it_was_said(window: Window, heard, spoken) -> None:
    assert times(window.in_chunk(said(*heard))) == spoken


def test_speech_beyond_the_edges_of_the_window_is_not_in_it() -> None:
    found = window_of(SAMPLES, seconds(5, 9), [seconds(4, 6), seconds(8, 12)])
    assert found is not None
    assert found.place == seconds(5, 9)


def test_a_window_with_less_than_a_tenth_of_a_second_of_speech_is_none() -> None:
    assert window_of(SAMPLES, seconds(0, 10), [seconds(2, 2.09)]) is None
    assert window_of(SAMPLES, seconds(0, 10), []) is None
