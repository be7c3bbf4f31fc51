"""One file in, one transcript out: what was done is never done again, what is missing is said."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, AudioFile, FileIdentity, Span
from stretto.contexts.core.errors import (
    AudioTooShort,
    Cancelled,
    EngineUnavailable,
    InvalidOption,
    MediaNotFound,
    StorageFull,
)
from stretto.contexts.core.events import (
    CacheEntryCreated,
    ChunkProcessingCompleted,
    ChunkProcessingStarted,
    ChunkProgressed,
    ChunkSizeChosen,
    DomainEvent,
    FellBackToSequential,
    FileProcessingCancelled,
    FileProcessingCompleted,
    FileProcessingFailed,
    FileProcessingStarted,
    LanguageDetected,
)
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import TranscriptionOptions, TranscriptRequest
from stretto.contexts.core.transcript import (
    GapReason,
    Segment,
    Transcript,
    TranscriptNotKept,
    TranscriptStatus,
)
from stretto.contexts.processing import chunk_processor
from stretto.contexts.processing.model import CancelToken, ProcessingProgress
from stretto.contexts.processing.service import LARGE_BYTES
from tests.fakes.audio import MemoryReader, silence
from tests.fakes.engine import MemoryEngine
from tests.fakes.transcript_store import MemoryTranscriptStore
from tests.unit.processing.flow import (
    ENGLISH,
    TALK,
    Studio,
    a_quiet_room,
    a_talk,
    an_engine,
)

SOON_S = 5.0
FIND_OUT = TranscriptionOptions()


class Patient(MemoryReader):
    """Hashes a file when ``engine`` is ready, and not before."""

    def __init__(self, engine: MemoryEngine) -> None:
        super().__init__({TALK.name: a_talk()}, block=SAMPLE_RATE_HZ)
        self._engine = engine

    def identify(self, path: Path) -> FileIdentity:
        assert self._engine.prepared.wait(SOON_S)
        return super().identify(path)


@pytest.fixture
def studio() -> Studio:
    return Studio({TALK.name: a_talk()})


def texts(transcript: Transcript) -> list[str]:
    return [segment.text for segment in transcript.segments]


def test_a_talk_becomes_a_complete_transcript(studio: Studio) -> None:
    transcript = studio.transcribe(an_engine())
    assert transcript.status is TranscriptStatus.COMPLETE
    assert transcript.duration_s == 90.0
    assert transcript.language == Language("en")
    assert transcript.file == "talk.wav"
    assert (transcript.engine, transcript.model) == ("memory", "twin")
    edges = [0.0, *(t for s in transcript.segments for t in (s.start, s.end)), 90.0]
    assert all(a <= b for a, b in pairwise(edges))
    assert transcript.coverage.transcribed_s == pytest.approx(transcript.coverage.speech_s)
    assert transcript.coverage.speech_s > 60.0
    chunks = transcript.cache.misses
    assert chunks >= 9
    assert transcript.cache.hits == 0
    assert len(transcript.seams) == chunks - 1


def test_the_number_of_chunks_at_once_does_not_change_the_text(studio: Studio) -> None:
    one = studio.transcribe(an_engine(), concurrency=1)
    other = Studio({TALK.name: a_talk()}).transcribe(an_engine(), concurrency=8)
    assert one.segments == other.segments
    assert one.seams == other.seams


def test_the_second_time_it_is_recalled_without_opening_the_file(studio: Studio) -> None:
    engine = an_engine()
    first = studio.transcribe(engine)
    calls, opened = engine.calls, len(studio.reader.opened)
    second = studio.transcribe(engine)
    assert (engine.calls, len(studio.reader.opened)) == (calls, opened)
    assert second.id == first.id
    assert second.segments == first.segments
    assert (second.cache.hits, second.cache.misses) == (calls, 0)


def test_what_is_known_is_recalled_without_looking_into_the_file(studio: Studio) -> None:
    engine = an_engine()
    first = studio.transcribe(engine)
    assert studio.reader.probed == 1
    assert studio.transcribe(engine).id == first.id
    assert studio.reader.probed == 1


def test_the_engine_gets_ready_while_the_file_is_opened(studio: Studio) -> None:
    engine = an_engine()
    studio.transcribe(engine)
    assert engine.prepared.wait(SOON_S)


def test_what_is_transcribed_again_has_its_engine_ready_before_it_is_hashed() -> None:
    engine = an_engine()
    studio = Studio({TALK.name: a_talk()})
    studio.reader = Patient(engine)
    assert studio.service(engine).process_file(TALK, ENGLISH, again=True).segments


def test_the_library_has_its_tables_before_there_is_something_to_keep(studio: Studio) -> None:
    studio.transcribe(an_engine())
    assert studio.transcripts.prepared.wait(SOON_S)


def test_for_what_is_known_no_engine_gets_ready(studio: Studio) -> None:
    studio.transcribe(an_engine())
    engine = an_engine()
    studio.transcribe(engine)
    assert "prepare" not in {thread.name for thread in threading.enumerate()}
    assert not engine.prepared.is_set()


def test_for_a_large_file_the_engine_gets_ready_before_it_is_hashed(tmp_path: Path) -> None:
    path = tmp_path / TALK.name
    with path.open("wb") as file:
        file.truncate(LARGE_BYTES)  # a hole, which takes no disk
    engine = an_engine()
    studio = Studio({TALK.name: a_talk()})
    studio.reader = Patient(engine)
    studio.service(engine).process_file(path, ENGLISH)


def test_an_engine_that_cannot_get_ready_is_asked_all_the_same(studio: Studio) -> None:
    class Unready(MemoryEngine):
        def prepare(self) -> None:
            raise EngineUnavailable("It will say so when it is asked.")

    assert studio.transcribe(Unready()).segments


@pytest.mark.parametrize(("first", "then"), [(None, 0), (0, None), (0, 0)])
def test_a_stream_is_known_by_its_number_and_as_the_choice_of_the_file(
    studio: Studio, first: int | None, then: int | None
) -> None:
    """Earlier versions kept every transcript under the number."""
    engine = an_engine()
    kept = studio.transcribe(engine, stream=first)
    assert studio.transcribe(engine, stream=then).id == kept.id
    assert len(studio.reader.opened) == 1


def test_a_stream_that_is_not_the_choice_of_the_file_is_another_transcript() -> None:
    studio = Studio({TALK.name: a_talk()}, own_choice=False)
    engine = an_engine()
    kept = studio.transcribe(engine)
    assert studio.transcribe(engine, stream=0).id != kept.id


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_text_is_heard_in_its_order_while_the_rest_is_recognised(
    studio: Studio, concurrency: int
) -> None:
    heard: list[tuple[Segment, ...]] = []
    transcript = studio.transcribe(an_engine(), concurrency=concurrency, heard=heard.append)
    assert all(heard)
    assert sum(heard, ()) == transcript.segments


def test_the_first_text_is_heard_long_before_the_last_is_recognised(studio: Studio) -> None:
    engine = an_engine()
    recognised: list[int] = []
    studio.transcribe(engine, concurrency=1, heard=lambda _: recognised.append(engine.calls))
    assert recognised[0] <= 2
    assert engine.calls >= 9


def test_a_long_recording_is_heard_chunk_by_chunk_its_opening_first() -> None:
    studio = Studio({TALK.name: a_talk(600.0)})
    heard: list[tuple[Segment, ...]] = []
    transcript = studio.transcribe(MemoryEngine(), concurrency=1, heard=heard.append)
    assert heard[0][-1].end < 14.0
    assert len(heard) == transcript.cache.misses >= 3
    plan = studio.service(MemoryEngine()).plan_file(TALK, ENGLISH)
    assert [chunk.opening for chunk in plan.chunks] == [True, *[False] * (len(heard) - 1)]
    assert all(plan.cached)


def test_a_recalled_text_is_heard_too(studio: Studio) -> None:
    engine, heard = an_engine(), list[tuple[Segment, ...]]()
    first = studio.transcribe(engine)
    studio.transcribe(engine, heard=heard.append)
    assert heard == [first.segments]


def test_text_is_heard_around_a_chunk_that_failed(studio: Studio) -> None:
    heard: list[tuple[Segment, ...]] = []
    partial = studio.transcribe(an_engine(fails_at=frozenset({0, 3})), heard=heard.append)
    assert partial.status is TranscriptStatus.PARTIAL
    assert sum(heard, ()) == partial.segments != ()


def test_the_work_ends_when_nobody_can_hear_it_any_more(studio: Studio) -> None:
    def gone(segments: tuple[Segment, ...]) -> None:
        raise BrokenPipeError

    engine = an_engine()
    with pytest.raises(BrokenPipeError):
        studio.transcribe(engine, concurrency=1, heard=gone)
    assert engine.calls <= 3
    assert studio.transcripts.recent(1) == ()
    rest = an_engine()
    assert studio.transcribe(rest).cache.hits == engine.finished


def test_a_copy_under_another_name_is_recalled_under_its_own_name() -> None:
    studio = Studio({TALK.name: a_talk(), "copy.wav": a_talk()})
    engine = an_engine()
    first = studio.transcribe(engine)
    calls = engine.calls
    copy = studio.transcribe(engine, path=Path("copy.wav"))
    assert engine.calls == calls
    assert copy.file == "copy.wav"
    assert texts(copy) == texts(first)


def test_again_reads_the_file_but_computes_no_chunk_that_is_kept(studio: Studio) -> None:
    engine = an_engine()
    first = studio.transcribe(engine)
    calls = engine.calls
    second = studio.transcribe(engine, again=True)
    assert engine.calls == calls
    assert len(studio.reader.opened) == 2
    assert second.id != first.id
    assert second.segments == first.segments
    assert (second.cache.hits, second.cache.misses) == (calls, 0)


@pytest.mark.parametrize(("concurrency", "kept"), [(1, 0), (1, 4), (4, 3), (4, 7)])
def test_after_a_stop_in_the_middle_only_the_rest_is_computed(
    studio: Studio, concurrency: int, kept: int
) -> None:
    total = Studio({TALK.name: a_talk()}).transcribe(an_engine()).cache.misses
    stopped = an_engine(cancels_after=kept)
    with pytest.raises(Cancelled):
        studio.transcribe(stopped, concurrency=concurrency)
    assert studio.kinds()[-1] is FileProcessingCancelled
    assert studio.transcripts.recent(10) == ()

    rest = an_engine()
    transcript = studio.transcribe(rest, concurrency=concurrency)
    assert rest.calls == total - kept
    assert (transcript.cache.hits, transcript.cache.misses) == (kept, total - kept)
    assert transcript.status is TranscriptStatus.COMPLETE


def test_one_chunk_that_fails_costs_only_itself_and_is_computed_alone_next_time() -> None:
    studio = Studio({TALK.name: a_talk(15 * 60.0)})
    partial = studio.transcribe(an_engine(fails_at=frozenset({40})))
    assert partial.status is TranscriptStatus.PARTIAL
    (gap,) = partial.coverage.gaps
    assert gap.reason is GapReason.ENGINE_FAILED
    assert 0 < gap.end - gap.start <= 10.0
    assert partial.cache.misses >= 100
    assert partial.coverage.transcribed_s >= 0.98 * partial.coverage.speech_s

    healed = an_engine()
    whole = studio.transcribe(healed)
    assert healed.calls == 1
    assert whole.status is TranscriptStatus.COMPLETE
    assert set(texts(partial)) < set(texts(whole))
    missing = [s for s in whole.segments if s.text not in set(texts(partial))]
    assert all(gap.start - 10 <= s.start <= gap.end + 10 for s in missing)


def test_every_chunk_failing_gives_a_transcript_that_is_one_gap_after_another() -> None:
    studio = Studio({TALK.name: a_talk()})
    transcript = studio.transcribe(an_engine(fails_at=frozenset(range(100))))
    assert transcript.status is TranscriptStatus.PARTIAL
    assert transcript.segments == ()
    assert transcript.coverage.transcribed_s == 0.0
    assert transcript.coverage.speech_s > 60.0


def test_trouble_that_passes_slows_down_says_so_and_loses_nothing(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_processor, "FIRST_DELAY_S", 0.0)
    transcript = studio.transcribe(an_engine(transient_failures=2))
    assert transcript.status is TranscriptStatus.COMPLETE
    assert FellBackToSequential in studio.kinds()


@pytest.mark.parametrize("options", [ENGLISH, FIND_OUT], ids=["language given", "not given"])
@pytest.mark.parametrize("make", [silence, a_quiet_room])
def test_a_silent_file_is_complete_and_empty(make, options: TranscriptionOptions) -> None:
    studio = Studio({TALK.name: make(65.0)})
    engine = an_engine()
    transcript = studio.transcribe(engine, options=options)
    assert engine.calls == 0
    assert transcript.status is TranscriptStatus.COMPLETE
    assert transcript.text == ""
    assert not transcript.has_speech
    assert transcript.duration_s == 65.0
    assert studio.transcribe(engine, options=options).id == transcript.id


def test_a_recording_that_stays_silent_is_not_held_in_memory() -> None:
    """Looking for its language must not read all of it before the first chunk is processed."""
    studio = Studio({TALK.name: a_quiet_room(600.0)})
    read: list[int] = []
    studio.bus.subscribe(
        ChunkProcessingStarted, lambda _: read.append(studio.reader.opened[0].read)
    )
    studio.transcribe(an_engine(), options=FIND_OUT)
    assert read[0] < 300 * SAMPLE_RATE_HZ


def test_the_language_is_found_once_said_and_handed_to_every_chunk() -> None:
    lead_in = np.concatenate([a_quiet_room(30.0), a_talk(60.0)])
    studio = Studio({TALK.name: lead_in})
    engine = an_engine(language=Language("de"))
    transcript = studio.transcribe(engine, options=FIND_OUT)
    assert transcript.language == Language("de")
    assert engine.languages_asked == 1
    (event,) = (e for e in studio.events if isinstance(e, LanguageDetected))
    assert (event.language, event.probability) == ("de", 0.9)
    assert transcript.duration_s == 90.0


def test_a_given_language_is_not_asked_for(studio: Studio) -> None:
    engine = an_engine()
    studio.transcribe(engine)
    assert engine.languages_asked == 0
    assert LanguageDetected not in studio.kinds()


def test_events_come_in_the_order_of_the_story(studio: Studio) -> None:
    transcript = studio.transcribe(an_engine(), concurrency=1)
    kinds = studio.kinds()
    assert kinds[:2] == [FileProcessingStarted, ChunkSizeChosen]
    assert kinds[-1] is FileProcessingCompleted
    chunks = [k for k in kinds[2:-1] if k not in (ChunkProgressed, CacheEntryCreated)]
    assert chunks == [ChunkProcessingStarted, ChunkProcessingCompleted] * transcript.cache.misses
    completed = studio.events[-1]
    assert isinstance(completed, FileProcessingCompleted)
    assert completed.transcript_id == transcript.id
    assert completed.total_chunks == transcript.cache.misses
    heard = [
        s.text for e in studio.events if isinstance(e, ChunkProcessingCompleted) for s in e.segments
    ]
    assert heard == texts(transcript)


def test_each_chunk_starts_before_it_completes_however_many_run(studio: Studio) -> None:
    studio.transcribe(an_engine(), concurrency=8)
    started = set()
    for event in studio.events:
        if isinstance(event, ChunkProcessingStarted):
            assert event.chunk_id not in started
            started.add(event.chunk_id)
        elif isinstance(event, ChunkProcessingCompleted):
            started.remove(event.chunk_id)
    assert started == set()


def test_completed_is_said_only_after_the_transcript_was_kept(studio: Studio) -> None:
    kept: list[int] = []
    studio.bus.subscribe(
        FileProcessingCompleted, lambda _: kept.append(len(studio.transcripts.recent(9)))
    )
    studio.transcribe(an_engine())
    assert kept == [1]


def test_a_failing_subscriber_harms_nothing(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: DomainEvent) -> None:
        raise ValueError("monitoring is down")

    studio.bus.subscribe(DomainEvent, fails)
    with caplog.at_level(logging.CRITICAL + 1, logger="stretto.contexts.core.bus"):
        transcript = studio.transcribe(an_engine())
    assert transcript.status is TranscriptStatus.COMPLETE
    assert FileProcessingCompleted in studio.kinds()


def test_audio_that_could_not_be_decoded_is_a_gap_and_its_warning_is_passed_on() -> None:
    lost = Span(20 * SAMPLE_RATE_HZ, 25 * SAMPLE_RATE_HZ)
    studio = Studio(
        {TALK.name: a_talk()}, warnings=("The file ends in the middle.",), unreadable=(lost,)
    )
    transcript = studio.transcribe(an_engine())
    assert transcript.status is TranscriptStatus.PARTIAL
    (gap,) = transcript.coverage.gaps
    assert (gap.start, gap.end, gap.reason) == (20.0, 25.0, GapReason.UNREADABLE_AUDIO)
    assert transcript.warnings == ("The file ends in the middle.",)


@pytest.mark.parametrize("claimed_s", [None, 3.0, 90.0, 5_000.0])
def test_progress_never_falls_and_ends_at_one_whatever_the_header_claims(
    claimed_s: float | None,
) -> None:
    studio = Studio({TALK.name: a_talk()}, claimed={TALK.name: claimed_s})
    seen: list[ProcessingProgress] = []
    studio.transcribe(an_engine(), progressed=seen.append)
    assert all(a.done_s <= b.done_s for a, b in pairwise(seen))
    assert all(a.fraction <= b.fraction for a, b in pairwise(seen))
    assert seen[-1].fraction == pytest.approx(1.0)
    assert seen[-1].chunks_done == seen[-1].chunks_known


def test_recalled_chunks_count_as_progress_too(studio: Studio) -> None:
    engine = an_engine()
    studio.transcribe(engine)
    seen: list[ProcessingProgress] = []
    studio.transcribe(engine, again=True, progressed=seen.append)
    assert seen[-1].fraction == pytest.approx(1.0)


def test_an_edited_recording_costs_only_what_was_edited() -> None:
    talk = a_talk(5 * 60.0)
    studio = Studio({TALK.name: talk, "edited.wav": talk[round(7.3 * SAMPLE_RATE_HZ) :]})
    engine = an_engine()
    studio.transcribe(engine)
    calls = engine.calls
    edited = studio.transcribe(engine, path=Path("edited.wav"))
    assert engine.calls - calls <= 6
    assert edited.cache.hits >= calls - 6


def test_a_missing_file_is_said_and_nothing_is_published(studio: Studio) -> None:
    with pytest.raises(MediaNotFound):
        studio.transcribe(an_engine(), path=Path("missing.wav"))
    assert studio.events == []


def test_a_stream_that_is_not_there_is_refused(studio: Studio) -> None:
    with pytest.raises(InvalidOption):
        studio.transcribe(an_engine(), stream=1)


def test_a_file_that_cannot_be_decoded_fails_and_says_why() -> None:
    studio = Studio({TALK.name: silence(0.05)})
    with pytest.raises(AudioTooShort):
        studio.transcribe(an_engine())
    event = studio.events[-1]
    assert isinstance(event, FileProcessingFailed)
    assert event.reason


def test_an_engine_that_cannot_run_fails_the_file(studio: Studio) -> None:
    with pytest.raises(EngineUnavailable):
        studio.transcribe(an_engine(broken_by=EngineUnavailable("no model")))
    event = studio.events[-1]
    assert isinstance(event, FileProcessingFailed)
    assert event.reason == "no model"


def test_an_interrupt_stops_the_run_keeps_what_was_done_and_leaves_the_service_usable(
    studio: Studio,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        studio.transcribe(an_engine(broken_by=KeyboardInterrupt()))
    assert studio.kinds()[-1] is FileProcessingCancelled
    assert studio.transcribe(an_engine()).status is TranscriptStatus.COMPLETE


def test_a_run_that_is_cancelled_before_it_starts_computes_nothing(studio: Studio) -> None:
    cancel, engine = CancelToken(), an_engine()
    cancel.cancel()
    with pytest.raises(Cancelled):
        studio.transcribe(engine, cancel=cancel)
    assert engine.calls == 0


def test_a_cancel_from_outside_reaches_the_engine(studio: Studio) -> None:
    cancel, engine = CancelToken(), an_engine(held=True)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(studio.transcribe, engine, cancel=cancel)
        assert engine.entered.wait(20)
        cancel.cancel()
        with pytest.raises(Cancelled):
            running.result(20)


class FullStore(MemoryTranscriptStore):
    def keep(
        self, request: TranscriptRequest, transcript: Transcript, *, file: AudioFile | None = None
    ) -> None:
        raise StorageFull


def test_a_full_disk_at_the_end_loses_no_chunk(studio: Studio) -> None:
    studio.transcripts = FullStore()
    with pytest.raises(TranscriptNotKept) as not_kept:
        studio.transcribe(an_engine())
    assert isinstance(not_kept.value.__cause__, StorageFull)
    assert not_kept.value.transcript.text
    assert FileProcessingCompleted not in studio.kinds()

    studio.transcripts = MemoryTranscriptStore()
    engine = an_engine()
    assert studio.transcribe(engine).status is TranscriptStatus.COMPLETE
    assert engine.calls == 0


def test_two_files_at_the_same_time_do_not_mix() -> None:
    recordings = {f"{seed}.wav": a_talk(60.0, seed=seed) for seed in (1, 2, 3)}
    studio = Studio(recordings)
    service = studio.service(an_engine())
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda n: service.process_file(Path(n), ENGLISH), recordings))
    alone = [Studio(recordings).transcribe(an_engine(), path=Path(n)) for n in recordings]
    assert [t.segments for t in together] == [t.segments for t in alone]


def test_a_plan_transcribes_nothing_and_knows_what_is_kept(studio: Studio) -> None:
    engine = an_engine(cancels_after=4)
    before = studio.service(engine).plan_file(TALK, ENGLISH)
    assert engine.calls == 0
    assert not any(before.cached)
    assert before.duration_s == 90.0
    assert before.strategy.size.reason

    with pytest.raises(Cancelled):
        studio.transcribe(engine, concurrency=1)
    after = studio.service(an_engine()).plan_file(TALK, ENGLISH)
    assert after.cached == (True,) * 4 + (False,) * (len(after.chunks) - 4)
    assert after.chunks == before.chunks


def test_a_plan_of_a_transcribed_file_recalls_its_language(studio: Studio) -> None:
    studio.transcribe(an_engine(), options=FIND_OUT)
    assert all(studio.service(an_engine()).plan_file(TALK, FIND_OUT).cached)
