"""Finds speech with Silero VAD v6 (the ONNX file that faster-whisper ships), block by block."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.core.audio import Span
from stretto.contexts.core.errors import EngineUnavailable
from stretto.contexts.processing.adapters.onnx_session import opened
from stretto.contexts.processing.adapters.onnx_weights import floats_in
from stretto.contexts.processing.adapters.silero_graph import STATE, WINDOW, silero
from stretto.contexts.processing.adapters.voice_spans import (
    FRAME_SAMPLES,
    Probabilities,
    voice_spans,
)
from stretto.contexts.processing.model import Samples

_INSTALL_HINT: Final = 'Install it with: pip install "stretto[local]"'
_CONTEXT_SAMPLES: Final = 64
"""Each frame is preceded by the last 4 ms of the frame before it."""

_BLOCK_SAMPLES: Final = 312 * FRAME_SAMPLES
"""About ten seconds: what is held as floating point at any time."""

_State = npt.NDArray[np.float32]


class SileroDetector:
    """Safe to call from many threads: they share one session, each call carries its own state."""

    def __init__(self, model: Path | None = None) -> None:
        """``model`` is the ONNX file; None takes the one inside the package faster-whisper."""
        self._model = model
        self._session: Any = None
        self._lock = Lock()

    def find(self, samples: Samples) -> tuple[Span, ...]:
        """Spans of speech in 16 kHz mono. Raises EngineUnavailable without the local extra."""
        if not len(samples):
            return ()
        return voice_spans(self._probabilities(samples), samples=len(samples))

    def _probabilities(self, samples: Samples) -> Probabilities:
        session = self._opened()
        hidden: _State = np.zeros((1, 1, STATE), np.float32)
        cell: _State = np.zeros((1, 1, STATE), np.float32)
        context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        found: list[Probabilities] = []
        for start in range(0, len(samples), _BLOCK_SAMPLES):
            windows, context = _windows(samples[start : start + _BLOCK_SAMPLES], context)
            inputs = {"windows": windows, "h": hidden, "c": cell}
            speech, hidden, cell = session.run(None, inputs)
            found.append(speech.reshape(-1))
        return np.concatenate(found)

    def _opened(self) -> Any:
        with self._lock:
            if self._session is None:
                self._session = _open_session(self._model or _bundled_model())
            return self._session


def _windows(block: Samples, context: _State) -> tuple[_State, _State]:
    """The windows of all frames as rows, in [-1, 1), and the context of the next block.

    The last window of a frame reaches 64 samples beyond it: there the frame is mirrored.
    """
    count = -(-len(block) // FRAME_SAMPLES)
    line = np.zeros(_CONTEXT_SAMPLES + count * FRAME_SAMPLES, np.float32)
    line[:_CONTEXT_SAMPLES] = context
    np.multiply(block, np.float32(1 / 32_768), out=line[_CONTEXT_SAMPLES:][: len(block)])
    rows = np.lib.stride_tricks.sliding_window_view(line, _CONTEXT_SAMPLES + FRAME_SAMPLES)
    mirrored = np.pad(rows[::FRAME_SAMPLES], ((0, 0), (0, _CONTEXT_SAMPLES)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, WINDOW, axis=1)
    return windows[:, :: WINDOW // 2].reshape(-1, WINDOW), line[-_CONTEXT_SAMPLES:]


def _bundled_model() -> Path:
    package = importlib.util.find_spec("faster_whisper")
    for folder in package.submodule_search_locations or () if package else ():
        model = Path(folder) / "assets" / "silero_vad_v6.onnx"
        if model.is_file():
            return model
    raise EngineUnavailable(
        f"The speech detector Silero is not installed (package faster-whisper). {_INSTALL_HINT}"
    )


def _open_session(model: Path) -> Any:
    try:
        return opened(silero(floats_in(model)))
    except ImportError as cause:
        raise EngineUnavailable(
            f"The speech detector Silero needs the package onnxruntime. {_INSTALL_HINT}"
        ) from cause
    except (OSError, KeyError, ValueError, EngineUnavailable) as cause:
        raise EngineUnavailable(
            f"The speech detector's model {model} cannot be loaded; reinstall it. {_INSTALL_HINT}"
        ) from cause
