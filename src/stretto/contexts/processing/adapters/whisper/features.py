"""The log-mel spectrogram that Whisper was trained on (Radford et al. 2022, section 2.2)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.processing.model import Samples

Mel = npt.NDArray[np.float32]
"""Shape (mel bands, frames); one frame is 10 ms."""

FFT_SIZE: Final = 400
HOP: Final = 160
FRAMES_PER_SECOND: Final = SAMPLE_RATE_HZ // HOP
FULL_FRAMES: Final = 3000
"""Thirty seconds: the length of the encoder's positional encoding."""

FULL_SCALE: Final = np.float32(1 / 32768)


def log_mel(samples: Samples, frames: int, *, bands: int) -> Mel:
    """``frames`` frames of ``samples``, followed by silence where the samples end sooner.

    Values are log10 power, limited to 8 below the loudest and scaled by (x + 4) / 4.
    """
    half = FFT_SIZE // 2
    padded = np.zeros(frames * HOP + FFT_SIZE, dtype=np.float32)
    usable = samples[: frames * HOP]
    padded[half : half + len(usable)] = usable
    padded *= FULL_SCALE
    # The reference mirrors the signal at its start.
    padded[:half] = padded[half + 1 : 2 * half + 1][::-1]
    heard = min(frames, -(-(len(usable) + half) // HOP))
    framed = np.lib.stride_tricks.sliding_window_view(padded, FFT_SIZE)[::HOP][:heard]
    spectrum = np.fft.rfft(framed * _window(), axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mel = np.full((bands, frames), np.float32(-10.0), dtype=np.float32)
    np.log10(np.maximum(_filters(bands) @ power.T, 1e-10), out=mel[:, :heard])
    np.maximum(mel, mel.max() - 8.0, out=mel)
    mel += 4.0
    mel *= 0.25
    return mel


@lru_cache(maxsize=1)
def _window() -> npt.NDArray[np.float32]:
    window: npt.NDArray[np.float32] = np.hanning(FFT_SIZE + 1)[:-1].astype(np.float32)
    return window


@lru_cache(maxsize=2)
def _filters(bands: int) -> npt.NDArray[np.float32]:
    """Triangular filters on Slaney's mel scale, each of unit area; shape (bands, 201).

    Slaney, "Auditory Toolbox" (1998): linear with 200/3 Hz per mel to 1 kHz, above it 27 mel to
    a factor of 6.4.
    """
    top = 15.0 + np.log(SAMPLE_RATE_HZ / 2 / 1000.0) * 27.0 / np.log(6.4)
    mels = np.linspace(0.0, top, bands + 2)
    hertz = np.where(
        mels < 15.0, mels * 200.0 / 3.0, 1000.0 * np.exp((mels - 15.0) * np.log(6.4) / 27.0)
    )
    bins = np.fft.rfftfreq(FFT_SIZE, d=1.0 / SAMPLE_RATE_HZ)
    rising = (bins[None, :] - hertz[:-2, None]) / (hertz[1:-1] - hertz[:-2])[:, None]
    falling = (hertz[2:, None] - bins[None, :]) / (hertz[2:] - hertz[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    area = 2.0 / (hertz[2:] - hertz[:-2])
    filters: npt.NDArray[np.float32] = (triangles * area[:, None]).astype(np.float32)
    return filters
