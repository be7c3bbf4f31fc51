"""A chunk is recalled, recognised, retried or owned up to as a gap; it never fails the file."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.errors import Cancelled, EngineUnavailable, TransientEngineFailure
from stretto.contexts.core.events import (
    ChunkProcessingAbandoned,
    ChunkProcessingCompleted,
    ChunkProcessingFailed,
    ChunkProcessingRetried,
    ChunkProcessingStarted,
    ChunkProgressed,
    DomainEvent,
)
from stretto.contexts.core.identifiers import Language, TranscriptId
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.core.transcript import GapReason
from stretto.contexts.processing import chunk_processor
from stretto.contexts.processing.chunk_processor import ChunkProcessor
from stretto.contexts.processing.model import AudioChunk, CancelToken
from tests.fakes.audio import LoudnessDetector, a_chunk, silence, speechlike
from tests.fakes.clock import FakeClock
from tests.fakes.engine import MemoryEngine
from tests.fakes.result_cache import MemoryResultCache

SPEECH = speechlike(45.0, seed=7)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_processor, "FIRST_DELAY_S", 0.0)


class Bench:
    """A processor over twins, with everything it published."""

    def __init__(self, engine: MemoryEngine, **given: Any) -> None:
        self.engine = engine
        self.events: list[DomainEvent] = []
        self.slowed: list[str] = []
        self.cancel = given.pop("cancel", None) or CancelToken()
        self.cache = given.pop("cache", None) or MemoryResultCache()
        self.detector = LoudnessDetector()
        self.processor = ChunkProcessor(
            transcript_id=TranscriptId.new(),
            engine=engine,
            detector=self.detector,
            cache=self.cache,
            options=given.pop("options", TranscriptionOptions(language=Language("en"))),
            retries=given.pop("retries", 3),
            cancel=self.cancel,
            publish=self.events.append,
            clock=FakeClock(),
            slow_down=given.pop("slow_down", self.slowed.append),
        )

    def kinds(self) -> list[type[DomainEvent]]:
        return [type(event) for event in self.events if not isinstance(event, ChunkProgressed)]


def a_spoken(index: int = 0, start: int = 0) -> AudioChunk:
    return a_chunk(SPEECH, index=index, start=start)


def test_a_chunk_is_recognised_once_and_recalled_afterwards() -> None:
    bench = Bench(MemoryEngine())
    first, second = bench.processor.process(a_spoken()), bench.processor.process(a_spoken())
    assert not first.from_cache
    assert second.from_cache
    assert first.recognition == replace(second.recognition, recalled_s=0.0)
    assert second.recognition.recalled_s == a_spoken().duration_s
    assert bench.engine.calls == bench.detector.calls == 1


def test_a_recalled_chunk_has_the_times_of_its_new_place() -> None:
    bench = Bench(MemoryEngine())
    bench.processor.process(a_spoken())
    bench.processor.process(a_spoken(index=4, start=100 * SAMPLE_RATE_HZ))
    first, second = (e for e in bench.events if isinstance(e, ChunkProcessingCompleted))
    assert second.from_cache
    assert second.segments[0].start == first.segments[0].start + 100.0


@pytest.mark.parametrize(
    "options",
    [
        TranscriptionOptions(language=Language("de")),
        TranscriptionOptions(language=Language("en"), prompt="Dickens"),
    ],
)
def test_other_options_do_not_recall_it(options: TranscriptionOptions) -> None:
    cache = MemoryResultCache()
    Bench(MemoryEngine(), cache=cache).processor.process(a_spoken())
    other = Bench(MemoryEngine(), cache=cache, options=options)
    assert not other.processor.process(a_spoken()).from_cache


def test_silence_is_never_given_to_the_engine() -> None:
    bench = Bench(MemoryEngine())
    outcome = bench.processor.process(a_chunk(silence(60.0)))
    assert bench.engine.calls == 0
    assert outcome.recognition.segments == ()
    assert outcome.recognition.gaps == ()


def test_speech_that_was_found_already_is_not_looked_for_again() -> None:
    bench = Bench(MemoryEngine())
    bench.processor.process(a_chunk(SPEECH, speech=(Span(0, len(SPEECH)),)))
    assert bench.detector.calls == 0
    assert bench.engine.calls == 1


def test_a_transient_failure_is_retried_and_the_next_files_go_slower() -> None:
    bench = Bench(MemoryEngine(transient_failures=2))
    outcome = bench.processor.process(a_spoken())
    assert bench.engine.calls == 3
    assert outcome.recognition.gaps == ()
    assert len(bench.slowed) == 2
    retried = [e for e in bench.events if isinstance(e, ChunkProcessingRetried)]
    assert [event.attempt for event in retried] == [1, 2]
    assert all(event.delay_s >= 0 and event.reason for event in retried)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_are_counted_and_then_the_chunk_is_a_gap(retries: int) -> None:
    bench = Bench(MemoryEngine(transient_failures=100), retries=retries)
    outcome = bench.processor.process(a_spoken())
    assert bench.engine.calls == retries + 1
    assert outcome.recognition.gaps


def test_a_failure_for_good_is_not_retried_and_names_its_reason() -> None:
    bench = Bench(MemoryEngine(fails_at=frozenset({0})))
    outcome = bench.processor.process(a_spoken())
    assert bench.engine.calls == 1
    assert bench.slowed == []
    (gap,) = outcome.recognition.gaps
    assert gap.reason is GapReason.ENGINE_FAILED
    assert gap.detail == "The twin gave up."
    assert 0.0 <= gap.start < gap.end <= 45.0
    assert outcome.recognition.speech_s > outcome.recognition.transcribed_s == 0.0
    assert ChunkProcessingFailed in bench.kinds()


def test_a_failure_is_never_kept() -> None:
    cache = MemoryResultCache()
    Bench(MemoryEngine(fails_at=frozenset({0})), cache=cache).processor.process(a_spoken())
    assert len(cache) == 0
    healed = Bench(MemoryEngine(), cache=cache)
    assert not healed.processor.process(a_spoken()).from_cache
    assert healed.engine.calls == 1


@pytest.mark.parametrize("error", [EngineUnavailable("no model"), ValueError("bug")])
def test_what_concerns_the_whole_file_is_raised_and_not_retried(error: Exception) -> None:
    bench = Bench(MemoryEngine(broken_by=error))
    with pytest.raises(type(error)):
        bench.processor.process(a_spoken())
    assert bench.engine.calls == 1
    assert bench.kinds()[-1] is ChunkProcessingAbandoned  # of what is begun an end is told


def test_a_cancelled_run_starts_no_chunk() -> None:
    bench = Bench(MemoryEngine())
    bench.cancel.cancel()
    with pytest.raises(Cancelled):
        bench.processor.process(a_spoken())
    assert bench.engine.calls == 0
    assert bench.events == []


def test_a_cancel_reaches_the_engine_at_work() -> None:
    bench = Bench(MemoryEngine(held=True))
    raised: list[type[BaseException]] = []

    def work() -> None:
        try:
            bench.processor.process(a_spoken())
        except Cancelled as error:
            raised.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    assert bench.engine.entered.wait(20)
    bench.cancel.cancel()
    thread.join(20)
    assert raised == [Cancelled]
    assert len(bench.cache) == 0


def test_a_cancel_ends_the_wait_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_processor, "FIRST_DELAY_S", 1e6)
    monkeypatch.setattr(chunk_processor, "LONGEST_DELAY_S", 1e6)
    cancel = CancelToken()
    bench = Bench(
        MemoryEngine(broken_by=TransientEngineFailure("busy")),
        cancel=cancel,
        slow_down=lambda _: cancel.cancel(),
    )
    with pytest.raises(Cancelled):
        bench.processor.process(a_spoken())
    assert bench.engine.calls == 1


def test_events_tell_the_story_in_order() -> None:
    bench = Bench(MemoryEngine(transient_failures=1))
    bench.processor.process(a_spoken(start=32_000))
    assert bench.kinds() == [
        ChunkProcessingStarted,
        ChunkProcessingRetried,
        ChunkProcessingCompleted,
    ]
    started, completed = bench.events[0], bench.events[-1]
    assert isinstance(started, ChunkProcessingStarted)
    assert isinstance(completed, ChunkProcessingCompleted)
    assert started.start_s == 2.0
    assert all(segment.start >= 2.0 for segment in completed.segments)
    done = [event.done_s for event in bench.events if isinstance(event, ChunkProgressed)]
    assert done == sorted(done)
    assert done[-1] == 45.0
