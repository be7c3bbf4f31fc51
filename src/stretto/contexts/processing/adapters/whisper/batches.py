"""How many windows a worker takes at once, decided when it is free."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import ceil
from threading import Lock
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    @property
    def frames(self) -> int:
        """How many frames of 10 ms there are to be encoded."""


class Padding(Protocol):
    """What a runtime says of its batches."""

    @property
    def batch_frames(self) -> int: ...

    def padded_frames(self, longest: int) -> int: ...


Piece = TypeVar("Piece", bound=Sized)


class WaitingPieces(Generic[Piece]):
    """The pieces of all chunks that no worker has taken yet.

    Large batches cost less for each piece; at the end of a file they would leave the other workers
    with nothing to do. So a worker takes no more than its share of what waits (guided
    self-scheduling: Polychronopoulos and Kuck 1987).
    """

    def __init__(self, runtime: Padding, *, workers: int) -> None:
        self._runtime = runtime
        self._workers = workers
        self._waiting = 0
        self._lock = Lock()

    def add(self, pieces: Iterable[Piece]) -> deque[Piece]:
        """A chunk's pieces in the order in which they are taken: the longest first, so that those
        of like length share a batch."""
        queue = deque(sorted(pieces, key=lambda piece: -piece.frames))
        with self._lock:
            self._waiting += len(queue)
        return queue

    def take(self, queue: deque[Piece]) -> list[Piece]:
        """The next batch of a chunk; empty when all of it is taken."""
        with self._lock:
            if not queue:
                return []
            fit = self._runtime.batch_frames // self._runtime.padded_frames(queue[0].frames)
            batches = ceil(len(queue) / max(1, fit))
            share = ceil(self._waiting / self._workers)
            count = min(ceil(len(queue) / batches), share)
            self._waiting -= count
            return [queue.popleft() for _ in range(count)]

    def drop(self, queue: deque[Piece]) -> None:
        """Nobody wants the rest of a chunk any more."""
        with self._lock:
            self._waiting -= len(queue)
            queue.clear()
