"""The real recording of the end-to-end tests, what is said in it, and how far a text is off."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Final

import av
import jiwer
import numpy as np

from tests.mediagen import Samples, concatenated, noise, recorded_speech, silence

SPOKEN: Final = """
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of
foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of
Light, it was the season of Darkness, it was the spring of hope, it was the winter of despair, we
had everything before us, we had nothing before us, we were all going direct to Heaven, we were
all going direct the other way--in short, the period was so far like the present period, that
some of its noisiest authorities insisted on its being received, for good or for evil, in the
superlative degree of comparison only.
"""
"""The opening of "A Tale of Two Cities" by Charles Dickens, 1859, as it is read aloud."""

SECONDS: Final = 44.374
TIMES_IN_LONG: Final = 9


def speech() -> Samples:
    """The recording at 16 kHz."""
    resampler = av.AudioResampler("s16", "mono", 16_000)
    with av.open(str(recorded_speech())) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in (*frames, *resampler.resample(None))])


def long_speech() -> Samples:
    """Seven minutes, more than is worked on at once: the recording again and again, in a different
    hiss each time."""
    once = speech()
    parts = [
        part
        for turn in range(TIMES_IN_LONG)
        for part in (hissing(once, seed=turn), silence(1.0 + 0.3 * turn))
    ]
    return concatenated(*parts)


def hissing(samples: Samples, *, seed: int) -> Samples:
    """The same speech in other bytes, so that no window of it is known from another copy."""
    hiss = noise(len(samples) / 16_000, amplitude=3.0, seed=seed)
    mixed = samples.astype(np.int32) + hiss
    return np.clip(mixed, -32_768, 32_767).astype(np.int16)


def word_error_rate(text: str, *, times: int = 1) -> float:
    """Against ``times`` readings of SPOKEN, after Whisper's English normaliser; 0.05 is 5 %."""
    return float(jiwer.wer(_normalised(SPOKEN * times), _normalised(text)))


@cache
def _normaliser() -> Callable[[str], str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its source has an escape that Python is going to forbid
        from whisper_normalizer.english import EnglishTextNormalizer
    return EnglishTextNormalizer()  # type: ignore[no-any-return]


def _normalised(text: str) -> str:
    return _normaliser()(text)
