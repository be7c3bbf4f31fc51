"""How many windows a worker takes at once, decided when it is free."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil
from threading import Lock
from typing import Generic, Protocol, TypeVar

from stretto.contexts.core.recognition import Recognition, TranscriptionOptions
from stretto.contexts.processing.model import CancelToken


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


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[Piece]):
    """A piece that is to be recognised, and where the answer goes."""

    piece: Piece
    options: TranscriptionOptions
    cancel: CancelToken
    answer: Future[Recognition] = field(default_factory=Future)

    def goes_with(self, other: Waiting[Piece]) -> bool:
        return self.cancel is other.cancel and self.options == other.options


class WaitingPieces(Generic[Piece]):
    """The pieces of all chunks that no worker has taken yet, in the order in which they came.

    The larger a batch, the less each piece of it costs: so what is left of one chunk and the
    beginning of the next go together, if they are of the same run. At the end of a file large
    batches would leave the other workers with nothing to do, so a worker takes no more than its
    share of what waits (guided self-scheduling: Polychronopoulos and Kuck 1987).
    """

    def __init__(self, runtime: Padding, *, workers: int) -> None:
        self._runtime = runtime
        self._workers = workers
        self._waiting: deque[Waiting[Piece]] = deque()
        self._lock = Lock()

    def add(
        self, pieces: Iterable[Piece], options: TranscriptionOptions, cancel: CancelToken
    ) -> list[Waiting[Piece]]:
        """A chunk's pieces in the order in which they are taken: the longest first, so that those
        of like length share a batch."""
        added = [
            Waiting(piece, options, cancel)
            for piece in sorted(pieces, key=lambda piece: -piece.frames)
        ]
        with self._lock:
            self._waiting.extend(added)
        return added

    def take(self) -> list[Waiting[Piece]]:
        """The next batch; empty when all are taken. None of it is padded more than the first."""
        with self._lock:
            if not self._waiting:
                return []
            first = self._waiting[0]
            padded = self._runtime.padded_frames(first.piece.frames)
            fit = max(1, self._runtime.batch_frames // padded)
            most = min(fit, ceil(len(self._waiting) / self._workers))
            batch = [self._waiting.popleft()]
            while len(batch) < most and self._fits(self._waiting[0], first, padded):
                batch.append(self._waiting.popleft())
            return batch

    def _fits(self, other: Waiting[Piece], first: Waiting[Piece], padded: int) -> bool:
        frames = self._runtime.padded_frames(other.piece.frames)
        return frames <= padded and other.goes_with(first)

    def drop(self, added: Sequence[Waiting[Piece]]) -> None:
        """Nobody wants the rest of a chunk any more."""
        unwanted = {id(one) for one in added}
        with self._lock:
            self._waiting = deque(one for one in self._waiting if id(one) not in unwanted)

    def abandon(self) -> None:
        """Nobody takes any more of them: whoever waits for an answer hears CancelledError."""
        with self._lock:
            abandoned, self._waiting = self._waiting, deque()
        for one in abandoned:
            one.answer.cancel()


def settle(batch: Sequence[Waiting[Piece]], recognise: Callable[[], Sequence[Recognition]]) -> None:
    """Give each piece its answer, or all of them what went wrong."""
    try:
        for one, recognition in zip(batch, recognise(), strict=True):
            one.answer.set_result(recognition)
    except Exception as failure:
        for one in batch:
            if not one.answer.done():
                one.answer.set_exception(failure)
