"""Pauses are found where it is quiet, to the sample, however the recording is read."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.processing.model import Samples
from stretto.contexts.processing.pauses import SPACING, Pause, PauseFinder
from tests.fakes.audio import silence, speechlike, tone


def pauses_of(samples: Samples, *, block: int = 10 * SAMPLE_RATE_HZ) -> list[Pause]:
    finder = PauseFinder()
    found = []
    for start in range(0, len(samples), block):
        found += finder.feed(samples[start : start + block])
    return found + finder.finish()


def seconds(pauses: list[Pause]) -> list[float]:
    return [pause.position / SAMPLE_RATE_HZ for pause in pauses]


@pytest.fixture(scope="module")
def minute() -> Samples:
    return speechlike(60.0, seed=5)


@pytest.mark.parametrize("block", [1, 7, 160, 3_200, 8_000, 8_001, 100_000, 10**9])
def test_the_size_of_the_blocks_changes_nothing(block: int) -> None:
    samples = speechlike(1.0 if block < 100 else 40.0, seed=5)
    assert pauses_of(samples, block=block) == pauses_of(samples)


def test_a_pause_lies_in_the_middle_of_the_silence_between_two_phrases() -> None:
    samples = np.concatenate([tone(3.0), silence(0.8), tone(3.0)])
    found = [pause for pause in pauses_of(samples) if 2.5 < pause.position / SAMPLE_RATE_HZ < 4.5]
    (pause,) = found
    assert pause.position / SAMPLE_RATE_HZ == pytest.approx(3.4, abs=0.11)
    assert pause.level_dbfs == -120.0
    assert pause.clear


def test_every_real_pause_of_a_talk_is_found(minute: Samples) -> None:
    power = np.convolve(minute.astype(float) ** 2, np.ones(3_200) / 3_200, "same")
    quiet = np.flatnonzero((power[1:] < 5_000) & (power[:-1] >= 5_000))
    positions = np.array([pause.position for pause in pauses_of(minute)])
    assert len(quiet) > 5
    assert all(np.abs(positions - at).min() < SAMPLE_RATE_HZ for at in quiet)


def test_pauses_come_in_order_half_a_second_apart_and_inside_the_recording(minute: Samples) -> None:
    found = pauses_of(minute)
    assert all(b.position - a.position > SPACING / 2 for a, b in pairwise(found))
    assert all(0 <= pause.position <= len(minute) for pause in found)


def test_the_same_sound_has_the_same_pauses_wherever_it_stands(minute: Samples) -> None:
    moved = 12_345
    before = speechlike(moved / SAMPLE_RATE_HZ, seed=9)
    inner = [p for p in pauses_of(minute) if p.position > 10 * SAMPLE_RATE_HZ]
    later = pauses_of(np.concatenate([before, minute]))
    here = [
        Pause(p.position - moved, p.loudness, p.level_dbfs, p.surroundings_dbfs)
        for p in later
        if p.position - moved > 10 * SAMPLE_RATE_HZ
    ]
    assert here == inner


def test_of_two_silent_pauses_the_longer_one_is_the_quieter() -> None:
    samples = np.concatenate([tone(8.0), silence(0.4), tone(8.0), silence(1.2), tone(8.0)])
    short, long = sorted(
        (p for p in pauses_of(samples) if p.level_dbfs == -120.0), key=lambda p: p.position
    )
    assert long.loudness < short.loudness


def test_a_faint_dip_in_loud_sound_is_no_clear_pause() -> None:
    dip = tone(1.0, amplitude=7_000)
    found = pauses_of(np.concatenate([tone(9.0), dip, tone(9.0)]))
    (pause,) = (p for p in found if 9.0 < p.position / SAMPLE_RATE_HZ < 10.0)
    assert not pause.clear


@pytest.mark.parametrize("count", [0, 1, 3_199])
def test_less_than_a_fifth_of_a_second_has_no_pause(count: int) -> None:
    assert pauses_of(np.ones(count, dtype=np.int16)) == []


def test_the_loudest_possible_sound_overflows_nothing() -> None:
    square = np.tile(np.array([32_767, -32_768], dtype=np.int16), 20 * SAMPLE_RATE_HZ)
    for pause in pauses_of(square):
        assert pause.loudness >= 0
        assert -1.0 < pause.level_dbfs <= 0.0
        assert not pause.clear


def test_memory_is_bounded_by_a_piece_and_twenty_seconds() -> None:
    finder = PauseFinder()
    piece = speechlike(10.0)
    for _ in range(30):
        finder.feed(piece)
        assert len(finder._sums) <= 30 * SAMPLE_RATE_HZ
