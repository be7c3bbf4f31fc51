"""Packs samples into the two kinds of file that every speech service takes: FLAC and WAV."""

from __future__ import annotations

import os
import struct
import tempfile
import weakref
from typing import IO, Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.core.audio import BYTES_PER_SAMPLE, BYTES_PER_SECOND, SAMPLE_RATE_HZ
from stretto.contexts.core.errors import StorageFull
from stretto.contexts.external.ports import Encoded

SAMPLES_AT_A_TIME: Final = 16_384


class FlacEncoder:
    """Half the bytes of WAV, and nothing is lost. They wait in a file without a name, so that the
    chunks on their way take no memory besides their samples."""

    def encode(self, samples: memoryview) -> Encoded:
        try:
            with tempfile.TemporaryFile(prefix="stretto-") as file:
                _write_flac(file, np.frombuffer(samples, dtype="<i2"))
                file.flush()
                piece = PieceInFile(file.fileno())
        except OSError as cause:
            raise StorageFull(
                f"A piece cannot be packed in {tempfile.gettempdir()}: {cause.strerror or cause}. "
                "Make room there, or name another folder in TMPDIR."
            ) from cause
        return Encoded(pieces=(piece,), name="audio.flac", media_type="audio/flac")


def _write_flac(file: IO[bytes], signal: npt.NDArray[np.int16]) -> None:
    import av

    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono")
        stream.options = {"compression_level": "5"}
        for at in range(0, len(signal), SAMPLES_AT_A_TIME):
            piece = signal[at : at + SAMPLES_AT_A_TIME].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HZ
            frame.pts = at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


class PieceInFile:
    """Satisfies Piece: what is in an open file, which is closed when nobody holds the piece any
    more. ``descriptor`` stays the caller's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)
        self._size = os.fstat(self._descriptor).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice, /) -> bytes:
        start, stop, _ = part.indices(self._size)
        return os.pread(self._descriptor, max(0, stop - start), start)


class WavEncoder:
    """Costs nothing: 44 bytes before the samples as they are."""

    def encode(self, samples: memoryview) -> Encoded:
        data = samples.cast("B")
        head = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1),
            *(SAMPLE_RATE_HZ, BYTES_PER_SECOND, BYTES_PER_SAMPLE, 8 * BYTES_PER_SAMPLE),
            *(b"data", len(data)),
        )
        return Encoded(pieces=(head, data), name="audio.wav", media_type="audio/wav")
