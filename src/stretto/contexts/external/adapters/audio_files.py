"""Packs samples into the two kinds of file that every speech service takes: FLAC and WAV."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from stretto.contexts.core.audio import BYTES_PER_SAMPLE, BYTES_PER_SECOND, SAMPLE_RATE_HZ
from stretto.contexts.external.ports import Encoded

SAMPLES_AT_A_TIME: Final = 16_384
PIECE_BYTES: Final = 2**20


class FlacEncoder:
    """Half the bytes of WAV, and nothing is lost."""

    def encode(self, samples: memoryview) -> Encoded:
        import av

        signal = np.frombuffer(samples, dtype="<i2")
        file = _Pieces()
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
        return Encoded(
            pieces=tuple(memoryview(piece) for piece in file.pieces),
            name="audio.flac",
            media_type="audio/flac",
        )


class _Pieces:
    """A file in memory that grows without being copied. The only place that is written again is
    the beginning, where FLAC says in the end how long it is."""

    def __init__(self) -> None:
        self.pieces: list[bytearray] = []
        self._at = self._size = 0

    def write(self, data: bytes) -> int:
        if self._at < self._size:
            self._write_again(data)
        else:
            if not self.pieces or len(self.pieces[-1]) >= PIECE_BYTES:
                self.pieces.append(bytearray())
            self.pieces[-1] += data
            self._size += len(data)
        self._at += len(data)
        return len(data)

    def _write_again(self, data: bytes) -> None:
        if self._at + len(data) > len(self.pieces[0]):
            raise OSError("only the beginning can be written again")
        self.pieces[0][self._at : self._at + len(data)] = data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + {0: 0, 1: self._at, 2: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at


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
