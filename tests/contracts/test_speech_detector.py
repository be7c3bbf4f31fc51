"""What processing relies on when it asks where somebody speaks, whichever detector answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.core.errors import EngineUnavailable
from stretto.contexts.processing.adapters.energy import EnergyDetector
from stretto.contexts.processing.adapters.pyav import PyAvReader
from stretto.contexts.processing.adapters.silero import SileroDetector
from stretto.contexts.processing.adapters.voice_spans import FRAME_SAMPLES, voice_spans
from stretto.contexts.processing.ports import SpeechDetector
from tests import mediagen
from tests.mediagen import Samples


@pytest.fixture(scope="module", params=[SileroDetector, EnergyDetector])
def detector(request: pytest.FixtureRequest) -> SpeechDetector:
    return request.param()


@pytest.fixture(scope="module")
def speech() -> Samples:
    reader = PyAvReader()
    return np.concatenate(
        list(reader.open(reader.probe(reader.identify(mediagen.recorded_speech()))).blocks())
    )


def test_most_of_a_reading_is_speech(detector, speech):
    spans = detector.find(speech)

    assert sum(map(len, spans)) >= 0.7 * len(speech)
    assert all(a.end < b.start for a, b in pairwise(spans))
    assert spans[0].start >= 0
    assert spans[-1].end <= len(speech)


@pytest.mark.parametrize("seconds", [10, 60])
@pytest.mark.parametrize("amplitude", [0, 3, 30, 300])
def test_there_is_no_speech_in_silence_or_noise(detector, seconds, amplitude):
    assert detector.find(mediagen.noise(seconds, amplitude=amplitude)) == ()


def test_there_is_no_speech_in_nothing_or_in_a_tone(detector):
    assert detector.find(mediagen.silence(0)) == ()
    assert detector.find(mediagen.silence(0.01)) == ()
    assert detector.find(mediagen.tone(12.0)) == ()


def test_silence_around_speech_is_left_out(detector, speech):
    around = mediagen.noise(8.0, amplitude=5)
    spans = detector.find(np.concatenate([around, speech[: 10 * SAMPLE_RATE_HZ], around]))
    assert spans[0].start_s > 7.5
    assert spans[-1].end_s < 18.7


def test_the_samples_may_be_read_only(detector, speech):
    frozen = speech[: 11 * SAMPLE_RATE_HZ].copy()
    frozen.setflags(write=False)
    assert detector.find(frozen) == detector.find(frozen.copy())


def test_many_threads_hear_what_one_hears(detector, speech):
    pieces = [speech[i * SAMPLE_RATE_HZ :][: 12 * SAMPLE_RATE_HZ] for i in range(8)]
    alone = [detector.find(piece) for piece in pieces]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detector.find, pieces)) == alone


def test_silero_hears_the_same_however_it_is_cut_into_blocks(speech, monkeypatch):
    whole = SileroDetector().find(speech)
    monkeypatch.setattr(
        "stretto.contexts.processing.adapters.silero._BLOCK_SAMPLES", 7 * FRAME_SAMPLES
    )
    assert SileroDetector().find(speech) == whole


def test_a_missing_or_broken_model_names_the_remedy(tmp_path):
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"no model")
    for model in (broken, tmp_path / "missing.onnx"):
        with pytest.raises(EngineUnavailable, match=r"stretto\[local\]"):
            SileroDetector(model).find(mediagen.silence(1.0))


def test_a_short_pause_joins_a_click_is_dropped_and_edges_are_padded():
    frames = np.zeros(200, np.float32)
    frames[50:60] = 0.9
    frames[60:65] = 0.4  # between the thresholds: goes on
    frames[65:70] = 0.1  # 0.16 s of pause: joins
    frames[70:75] = 0.6
    frames[150:152] = 0.9  # 64 ms: dropped

    (span,) = voice_spans(frames, samples=200 * FRAME_SAMPLES)

    assert span.start == 50 * FRAME_SAMPLES - 3_200
    assert span.end == 75 * FRAME_SAMPLES + 3_200


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=120),
    st.integers(0, FRAME_SAMPLES - 1),
)
def test_spans_are_ordered_disjoint_and_inside_whatever_the_probabilities(values, missing):
    samples = len(values) * FRAME_SAMPLES - missing
    spans = voice_spans(np.array(values, np.float32), samples=samples)
    assert all(0 <= s.start < s.end <= samples for s in spans)
    assert all(a.end < b.start for a, b in pairwise(spans))
