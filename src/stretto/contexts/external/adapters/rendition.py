"""Makes recordings small and easy to stream: mono speech as Opus or MP3, encoded block by block."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.core.errors import CDNUnavailable, StorageFull

Samples = npt.NDArray[np.int16]
Decoder = Callable[[Path], Iterator[Samples]]
"""Blocks of 16 kHz mono, every sample at its time; raises UnusableMedia."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A form of audio for listeners; the names of container and codec are FFmpeg's."""

    container: str
    codec: str
    suffix: str
    content_type: str


RENDITIONS: Final = MappingProxyType(
    {
        "opus": Rendition(
            container="ogg", codec="libopus", suffix=".ogg", content_type="audio/ogg; codecs=opus"
        ),
        "webm": Rendition(
            container="webm",
            codec="libopus",
            suffix=".webm",
            content_type="audio/webm; codecs=opus",
        ),
        "mp3": Rendition(
            container="mp3", codec="libmp3lame", suffix=".mp3", content_type="audio/mpeg"
        ),
    }
)


class RenditionEncoder:
    """The port Encoder.

    It encodes the very audio that was transcribed, so that a second in the transcript is the same
    second for the listener, pauses and damaged stretches included.
    """

    def __init__(self, rendition: Rendition, *, kbps: int, decode: Decoder) -> None:
        self._rendition = rendition
        self._bits_per_second = kbps * 1000
        self._decode = decode

    @property
    def suffix(self) -> str:
        return self._rendition.suffix

    @property
    def content_type(self) -> str:
        return self._rendition.content_type

    def encode(self, recording: Path, target: Path, *, progressed: Callable[[float], None]) -> None:
        """Memory does not grow with the length. The same recording makes the same bytes."""
        try:
            # Without this FFmpeg draws a random serial number, and no two runs are equal.
            options = {"fflags": "+bitexact"}
            form = self._rendition.container
            with av.open(str(target), "w", format=form, container_options=options) as output:
                stream: Any = output.add_stream(
                    self._rendition.codec, rate=SAMPLE_RATE_HZ, layout="mono"
                )
                stream.bit_rate = self._bits_per_second
                done = 0
                for samples in self._decode(recording):
                    output.mux(stream.encode(_frame(samples, at=done)))
                    done += len(samples)
                    progressed(done / SAMPLE_RATE_HZ)
                output.mux(stream.encode(None))
        except (av.FFmpegError, OSError) as cause:
            number = getattr(cause, "errno", 0)
            if number in _FULL:
                raise StorageFull(
                    f"The disk of {target.parent.parent} is full: the audio for listeners was not "
                    "made. Free some space and publish again."
                ) from cause
            raise CDNUnavailable(
                f"The audio for listeners could not be made ({cause.strerror or cause}). "
                "Publish again."
            ) from cause


def _frame(samples: Samples, *, at: int) -> Any:
    frame = av.AudioFrame.from_ndarray(samples[None, :], "s16", "mono")
    frame.sample_rate = SAMPLE_RATE_HZ
    frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
    frame.pts = at
    return frame
