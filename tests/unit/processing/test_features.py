"""The spectrogram is the one that Whisper was trained on."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.processing.adapters.whisper.features import FULL_FRAMES, HOP, log_mel
from stretto.contexts.processing.model import Samples
from tests import mediagen
from tests.contracts.test_engine import package_folder, recorded
from tests.fakes.audio import silence, speechlike, tone


def real_speech() -> Samples:
    folder = package_folder("moonshine_voice")
    if folder is None:
        pytest.skip("needs the package moonshine-voice")
    return recorded(folder / "assets" / "beckett.wav", 9.0)


SOUNDS = {
    "noise": lambda: mediagen.noise(7.0),
    "loud noise": lambda: mediagen.noise(7.0, amplitude=30_000),
    "a tone": lambda: tone(5.0),
    "like speech": lambda: speechlike(30.0),
    "real speech": real_speech,
    "digital silence": lambda: silence(3.0),
    "a click": lambda: np.array([0] * 500 + [32_767] + [0] * 500, dtype=np.int16),
    "an odd length": lambda: mediagen.noise(1.0)[:12_345],
    "more than a window": lambda: mediagen.noise(31.0),
}


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("bands", [80, 128])
def test_it_is_the_same_as_that_of_the_reference(sound: str, bands: int) -> None:
    if importlib.util.find_spec("faster_whisper") is None:
        pytest.skip("needs the package faster-whisper")
    from faster_whisper.feature_extractor import FeatureExtractor

    samples = SOUNDS[sound]()[: FULL_FRAMES * HOP]
    padded = np.zeros(FULL_FRAMES * HOP, dtype=np.float32)
    padded[: len(samples)] = samples.astype(np.float32) / 32_768
    expected = FeatureExtractor(feature_size=bands)(padded)[:, :FULL_FRAMES]

    found = log_mel(samples, FULL_FRAMES, bands=bands)

    assert found.shape == expected.shape == (bands, FULL_FRAMES)
    assert np.abs(found - expected).max() < 1e-3


@pytest.mark.parametrize("count", [0, 1, 100, 399, 400, 16_000])
def test_it_has_as_many_frames_as_asked_for_however_short_the_sound(count: int) -> None:
    found = log_mel(np.full(count, 9_000, dtype=np.int16), 200, bands=80)
    assert found.shape == (80, 200)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_values_span_eight_decades_below_the_loudest_at_most() -> None:
    found = log_mel(speechlike(5.0), 700, bands=80)
    assert found.max() - found.min() <= 2.0 + 1e-6


def test_it_does_not_write_to_the_samples() -> None:
    samples = speechlike(2.0)
    samples.flags.writeable = False
    before = samples.copy()
    log_mel(samples, 300, bands=80)
    assert np.array_equal(samples, before)


def test_padding_with_silence_and_being_silent_are_the_same() -> None:
    spoken = speechlike(4.0)
    padded = np.concatenate([spoken, silence(2.0)])
    frames = 6 * SAMPLE_RATE_HZ // HOP
    assert np.allclose(
        log_mel(spoken, frames, bands=80), log_mel(padded, frames, bands=80), atol=1e-5
    )
