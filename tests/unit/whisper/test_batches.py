"""Batches are as large as memory allows while there is much to do, and small at the end."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import TransientEngineFailure
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import Recognition, TranscriptionOptions
from stretto.contexts.processing.adapters.whisper.batches import Waiting, WaitingPieces, settle
from stretto.contexts.processing.model import CancelToken

FULL = 3000
ENGLISH, RUSSIAN = (TranscriptionOptions(language=Language(code)) for code in ("en", "ru"))
RUN = CancelToken()


@dataclass(frozen=True, slots=True)
class Piece:
    frames: int


@dataclass(frozen=True, slots=True)
class Paddings:
    """A runtime that pads to the longest, and takes four full windows at once."""

    batch_frames: int = 4 * FULL

    def padded_frames(self, longest: int) -> int:
        return longest


def full(count: int) -> list[Piece]:
    return [Piece(FULL)] * count


def added(
    waiting: WaitingPieces[Piece],
    pieces: Sequence[Piece],
    options: TranscriptionOptions = ENGLISH,
    run: CancelToken = RUN,
) -> list[Waiting[Piece]]:
    return waiting.add(pieces, options, run)


def sizes(waiting: WaitingPieces[Piece]) -> list[int]:
    found = []
    while batch := waiting.take():
        found.append(len(batch))
    return found


@pytest.mark.parametrize(
    ("windows", "batches"),
    [
        (16, [4, 4, 4, 2, 1, 1]),
        (9, [4, 3, 1, 1]),
        (6, [3, 2, 1]),
        (2, [1, 1]),
        (1, [1]),
        (0, []),
    ],
)
def test_the_last_batches_are_shared_by_both_workers(windows: int, batches: list[int]) -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=2)
    added(waiting, full(windows))
    assert sizes(waiting) == batches


def test_the_rest_of_a_chunk_goes_with_the_beginning_of_the_next() -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=1)
    for _ in range(2):
        added(waiting, full(6))
    assert sizes(waiting) == [4, 4, 4]


@pytest.mark.parametrize(
    ("options", "run"), [(RUSSIAN, RUN), (ENGLISH, CancelToken())], ids=["language", "file"]
)
def test_pieces_of_another_run_go_by_themselves(
    options: TranscriptionOptions, run: CancelToken
) -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=1)
    added(waiting, full(6))
    added(waiting, full(6), options, run)
    assert sizes(waiting) == [4, 2, 4, 2]


def test_the_longest_come_first_and_more_short_ones_fit_into_a_batch() -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=1)
    added(waiting, [Piece(FULL // 2)] * 8 + [Piece(FULL)] * 4)
    assert [one.piece.frames for one in waiting.take()] == [FULL] * 4
    assert [one.piece.frames for one in waiting.take()] == [FULL // 2] * 8


def test_short_ones_are_not_padded_for_a_long_one_of_the_next_chunk() -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=1)
    added(waiting, [Piece(FULL // 2)] * 3)
    added(waiting, full(2))
    assert sizes(waiting) == [3, 2]


def test_one_that_is_larger_than_a_batch_goes_alone() -> None:
    waiting = WaitingPieces[Piece](Paddings(batch_frames=FULL // 2), workers=1)
    added(waiting, full(2))
    assert sizes(waiting) == [1, 1]


def test_what_is_dropped_is_taken_by_nobody() -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=2)
    dropped = added(waiting, full(100))
    added(waiting, full(4))
    waiting.drop(dropped)
    waiting.drop(dropped)
    assert sizes(waiting) == [2, 1, 1]


def test_nobody_waits_for_an_engine_that_was_closed() -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=2)
    left = added(waiting, full(3))
    (taken,) = waiting.take()[:1]
    waiting.abandon()
    assert waiting.take() == []
    assert not taken.answer.done()
    for one in left[2:]:
        with pytest.raises(CancelledError):
            one.answer.result(timeout=0)


def test_each_piece_has_its_answer() -> None:
    batch = added(WaitingPieces[Piece](Paddings(), workers=1), full(2))
    answers = [Recognition(speech_s=1.0), Recognition(speech_s=2.0)]
    settle(batch, lambda: answers)
    assert [one.answer.result(timeout=0) for one in batch] == answers


def test_what_goes_wrong_is_told_to_all_of_a_batch() -> None:
    def fail() -> list[Recognition]:
        raise TransientEngineFailure("The engine ran out of memory.")

    batch = added(WaitingPieces[Piece](Paddings(), workers=1), full(3))
    settle(batch, fail)
    for one in batch:
        with pytest.raises(TransientEngineFailure):
            one.answer.result(timeout=0)


@given(
    chunks=st.lists(st.lists(st.integers(1, FULL), max_size=30), min_size=1, max_size=4),
    workers=st.integers(1, 8),
)
def test_every_piece_is_taken_once_whoever_takes_it(chunks: list[list[int]], workers: int) -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=workers)
    for chunk in chunks:
        added(waiting, [Piece(frames) for frames in chunk])
    taken: list[list[Waiting[Piece]]] = []

    def work() -> None:
        while batch := waiting.take():
            taken.append(batch)

    threads = [Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = sorted(one.piece.frames for batch in taken for one in batch)
    assert frames == sorted(frame for chunk in chunks for frame in chunk)
    for batch in taken:
        assert len(batch) * max(one.piece.frames for one in batch) <= Paddings().batch_frames
