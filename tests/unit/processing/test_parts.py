"""A file that is shared out chunk by chunk, and put together: the same words as in one piece."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stretto.contexts.core.errors import Cancelled, EngineFailure
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.core.transcript import GapReason, TranscriptStatus
from stretto.contexts.processing.model import AudioChunk, CancelToken, Shares
from stretto.contexts.processing.parts import Reels
from stretto.contexts.processing.service import ProcessingService
from tests.fakes.engine import MemoryEngine
from tests.unit.processing.flow import ENGLISH, TALK, Studio, a_talk, an_engine


@pytest.fixture
def studio() -> Studio:
    return Studio({"talk.wav": a_talk(90.0), "short.wav": a_talk(30.0)})


def shared_out(
    service: ProcessingService, options: TranscriptionOptions = ENGLISH, path: Path = TALK
) -> Shares:
    shares = service.share_out(path, options, cancel=CancelToken())
    assert shares is not None
    return shares


def do(service: ProcessingService, shares: Shares, number: int, reels: Reels | None = None) -> None:
    service.process_share(
        TALK,
        shares.to_do[number],
        shares.how,
        reels=reels or Reels(),
        state="unchanged",
        cancel=CancelToken(),
    )


@pytest.mark.parametrize("options", [ENGLISH, TranscriptionOptions()])
def test_parts_put_together_are_the_file_in_one_piece(
    studio: Studio, options: TranscriptionOptions
) -> None:
    whole = Studio({"talk.wav": a_talk(90.0)}).transcribe(an_engine(), options=options)
    engine = an_engine()
    service = studio.service(engine)
    shares = shared_out(service, options)
    assert shares.chunks == len(shares.to_do) > 4
    reels = Reels()
    for number in range(shares.chunks):
        do(service, shares, number, reels)
    calls = engine.calls
    merged = service.process_file(TALK, options, shared=shares.how)
    assert merged.segments == whole.segments
    assert merged.seams == whole.seams
    assert merged.coverage == whole.coverage
    assert engine.calls == calls == shares.chunks, "what is in the cache is not done again"


def test_a_short_file_is_not_shared_out_nor_is_one_that_is_known(studio: Studio) -> None:
    service = studio.service(an_engine())
    assert service.share_out(Path("short.wav"), ENGLISH, cancel=CancelToken()) is None
    service.process_file(TALK, ENGLISH)
    assert service.share_out(TALK, ENGLISH, cancel=CancelToken()) is None


def test_only_what_is_missing_is_shared_out(studio: Studio) -> None:
    service = studio.service(an_engine())
    first = shared_out(service)
    do(service, first, 1)
    second = shared_out(service)
    assert [share.number for share in second.to_do] == [
        share.number for share in first.to_do if share.number != 1
    ]
    assert second.chunks == first.chunks
    assert second.known_s == pytest.approx(first.to_do[1].end_s - first.to_do[1].start_s)


def test_without_the_cache_the_file_is_put_together_all_the_same(studio: Studio) -> None:
    engine = an_engine()
    service = studio.service(engine)
    shares = shared_out(service)
    merged = service.process_file(TALK, ENGLISH, shared=shares.how)
    assert merged.status is TranscriptStatus.COMPLETE
    assert engine.calls == shares.chunks


def test_a_chunk_that_was_given_up_is_a_gap_with_its_reason_and_not_tried(studio: Studio) -> None:
    engine = an_engine()
    service = studio.service(engine)
    shares = shared_out(service)
    for number in range(shares.chunks):
        if number != 2:
            do(service, shares, number)
    calls = engine.calls
    how = replace(shares.how, given_up={2: "3 workers died on it."})
    partial = service.process_file(TALK, ENGLISH, shared=how)
    assert engine.calls == calls
    assert partial.status is TranscriptStatus.PARTIAL
    (gap,) = partial.coverage.gaps
    lost = shares.to_do[2]
    assert (gap.start, gap.end, gap.reason) == (lost.start_s, lost.end_s, GapReason.ENGINE_FAILED)
    assert gap.detail == "3 workers died on it."
    do(service, shares, 2)
    whole = service.process_file(TALK, ENGLISH, shared=shares.how)
    assert whole.status is TranscriptStatus.COMPLETE
    kept = [s for s in whole.segments if not (lost.start_s <= s.start < lost.end_s)]
    assert kept == list(partial.segments), "the rest stays as it was"


def test_the_failure_of_an_engine_fails_the_part(studio: Studio) -> None:
    service = studio.service(an_engine(fails_at=frozenset({3})))
    shares = shared_out(service)
    do(service, shares, 2)
    with pytest.raises(EngineFailure):
        do(service, shares, 3)


def test_a_part_of_a_file_that_was_changed_does_nothing(studio: Studio) -> None:
    engine = an_engine()
    service = studio.service(engine)
    shares = shared_out(service)
    other = Studio({"talk.wav": a_talk(90.0, seed=5)})
    changed = replace(service, reader=other.reader)
    do(changed, shares, 0)
    assert engine.calls == 0
    merged = changed.process_file(
        TALK, ENGLISH, shared=replace(shares.how, given_up={0: "It was poisoned."})
    )
    assert merged.status is TranscriptStatus.COMPLETE, "what was given up was another file's"


def test_a_part_tells_how_far_it_is(studio: Studio) -> None:
    told = []
    service = studio.service(an_engine())
    shares = shared_out(service)
    service.process_share(
        TALK,
        shares.to_do[1],
        shares.how,
        reels=Reels(),
        state="unchanged",
        cancel=CancelToken(),
        progressed=told.append,
    )
    seconds = shares.to_do[1].end_s - shares.to_do[1].start_s
    assert told[-1].fraction == 1.0
    assert told[-1].done_s == pytest.approx(seconds)
    assert [one.done_s for one in told] == sorted(one.done_s for one in told)


class Tape:
    """Numbered chunks, which counts how often it is begun and how far it is wound."""

    def __init__(self, length: int = 10) -> None:
        self.length = length
        self.begun = self.wound = 0

    def __call__(self):
        self.begun += 1
        for number in range(self.length):
            self.wound += 1
            yield number


def read(reels: Reels, tape: Tape, number: int, *, key: str = "file", cancel=None) -> object:
    chunk: AudioChunk | None = reels.chunk(key, number, tape, cancel=cancel or CancelToken())
    return chunk


def test_chunks_in_their_order_are_read_off_one_reel() -> None:
    reels, tape = Reels(), Tape()
    assert [read(reels, tape, number) for number in (0, 2, 3, 7)] == [0, 2, 3, 7]
    assert (tape.begun, tape.wound) == (1, 8)


def test_a_chunk_that_has_gone_by_is_read_off_a_new_reel() -> None:
    reels, tape = Reels(), Tape()
    assert [read(reels, tape, number) for number in (5, 2, 6)] == [5, 2, 6]
    assert tape.begun == 2


def test_many_threads_get_the_chunks_they_want() -> None:
    reels, tape = Reels(), Tape(200)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: read(reels, tape, number), range(200)))
    assert found == list(range(200))


def test_a_reel_that_is_at_its_end_is_not_kept() -> None:
    reels, tape = Reels(), Tape(3)
    assert read(reels, tape, 5) is None
    assert read(reels, tape, 6) is None
    assert tape.begun == 2


def test_another_file_is_another_reel_and_only_the_last_ones_are_kept() -> None:
    reels, tape = Reels(), Tape()
    for name in ("a", "b", "c"):
        read(reels, tape, 0, key=name)
    read(reels, tape, 1, key="c")
    assert tape.begun == 3
    read(reels, tape, 1, key="a")
    assert tape.begun == 4


def test_whoever_is_cancelled_in_the_line_lets_the_next_one_in() -> None:
    reels, tape, cancel = Reels(), Tape(), CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        read(reels, tape, 0, cancel=cancel)
    assert read(reels, tape, 1) == 1


def test_the_cache_is_shared_by_its_content_between_files_that_begin_alike(studio: Studio) -> None:
    talk = a_talk(90.0)
    longer = np.concatenate([talk, a_talk(60.0, seed=9)])
    both = Studio({"talk.wav": talk, "longer.wav": longer})
    engine = MemoryEngine(limits=an_engine().limits)
    service = both.service(engine)
    service.process_file(TALK, ENGLISH)
    shares = shared_out(service, path=Path("longer.wav"))
    assert 0 < len(shares.to_do) < shares.chunks
