"""Batches are as large as memory allows while there is much to do, and small at the end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.processing.adapters.whisper.batches import WaitingPieces

FULL = 3000


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


def sizes(waiting: WaitingPieces[Piece], queue: deque[Piece]) -> list[int]:
    found = []
    while batch := waiting.take(queue):
        found.append(len(batch))
    return found


@pytest.mark.parametrize(
    ("windows", "batches"),
    [
        (16, [4, 4, 4, 2, 1, 1]),
        (9, [3, 3, 2, 1]),
        (6, [3, 2, 1]),
        (2, [1, 1]),
        (1, [1]),
        (0, []),
    ],
)
def test_the_last_batches_are_shared_by_both_workers(windows: int, batches: list[int]) -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=2)
    assert sizes(waiting, waiting.add(full(windows))) == batches


def test_while_other_chunks_wait_a_chunk_is_cut_into_equal_batches() -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=2)
    first, _ = waiting.add(full(9)), waiting.add(full(20))
    assert sizes(waiting, first) == [3, 3, 3]


def test_the_longest_come_first_and_more_short_ones_fit_into_a_batch() -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=1)
    queue = waiting.add([Piece(FULL // 2)] * 8 + [Piece(FULL)] * 4)
    assert [piece.frames for piece in waiting.take(queue)] == [FULL] * 4
    assert [piece.frames for piece in waiting.take(queue)] == [FULL // 2] * 8


def test_one_that_is_larger_than_a_batch_goes_alone() -> None:
    waiting = WaitingPieces[Piece](Paddings(batch_frames=FULL // 2), workers=1)
    assert sizes(waiting, waiting.add(full(2))) == [1, 1]


def test_what_is_dropped_is_waited_for_by_nobody() -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=2)
    dropped = waiting.add(full(100))
    waiting.drop(dropped)
    waiting.drop(dropped)
    assert waiting.take(dropped) == []
    assert sizes(waiting, waiting.add(full(4))) == [2, 1, 1]


@given(
    chunks=st.lists(st.lists(st.integers(1, FULL), max_size=30), min_size=1, max_size=4),
    workers=st.integers(1, 8),
)
def test_every_piece_is_taken_once_whoever_takes_it(chunks: list[list[int]], workers: int) -> None:
    waiting = WaitingPieces[Piece](Paddings(), workers=workers)
    queues = [waiting.add(Piece(frames) for frames in chunk) for chunk in chunks]
    taken: list[list[Piece]] = []

    def work() -> None:
        for queue in queues:
            while batch := waiting.take(queue):
                taken.append(batch)

    threads = [Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = sorted(piece.frames for batch in taken for piece in batch)
    assert frames == sorted(frame for chunk in chunks for frame in chunk)
    fits = (sum(piece.frames for piece in batch) <= Paddings().batch_frames for batch in taken)
    assert all(fits)
