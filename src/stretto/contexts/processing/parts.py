"""Long files shared out to many workers: which chunks there are to do, and one chunk at a time.

A worker that does one chunk of a file after the other decodes the file once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition, Lock
from typing import Final

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, AudioFile
from stretto.contexts.core.events import ChunkProgressed, DomainEvent
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.processing.chunk_processor import ChunkOutcome, ChunkProcessor, chunk_request
from stretto.contexts.processing.cutting import cut
from stretto.contexts.processing.equipment import Equipment, Progressed
from stretto.contexts.processing.language import LanguageFinder
from stretto.contexts.processing.model import (
    AudioChunk,
    CancelToken,
    ConcurrencyLimit,
    Share,
    SharedOut,
    Shares,
)
from stretto.contexts.processing.planning import ChunkPlanner
from stretto.contexts.processing.progress import ProgressTracker

FEWEST_SHARES: Final = 2
MOST_REELS: Final = 2
LOOKED_AT_EVERY_S: Final = 0.1


def share_out(
    means: Equipment, file: AudioFile, options: TranscriptionOptions, cancel: CancelToken
) -> Shares | None:
    """The chunks that are to be done; None where one worker does as well. Decodes the file, and
    listens for its language. Raises Cancelled, and what reading and listening raise."""
    strategy = means.strategy(file)
    if not strategy.shared:
        return None
    decoded = means.reader.open(file)
    finder = LanguageFinder(
        engine=means.engine, detector=means.detector, cache=means.cache, cancel=cancel
    )
    chunks = (
        replace(chunk, source=file.file_hash) for chunk in cut(decoded, ChunkPlanner(strategy.size))
    )
    to_do: list[Share] = []
    count, known_s = 0, 0.0
    for chunk, found in finder.follow(chunks, options, lambda _: None):
        cancel.raise_if_cancelled()
        count += 1
        request = chunk_request(chunk, engine=means.engine, options=found)
        if means.cache.find(request) is not None:
            known_s += chunk.duration_s
            continue
        number, span = chunk.planned.index, chunk.span
        to_do.append(Share(number=number, start_s=span.start_s, end_s=span.end_s, options=found))
    if len(to_do) < FEWEST_SHARES:
        return None
    return Shares(
        how=SharedOut(file=file.file_hash, size=strategy.size),
        chunks=count,
        total_s=decoded.outcome().samples / SAMPLE_RATE_HZ,
        known_s=known_s,
        to_do=tuple(to_do),
    )


def chunks_of(means: Equipment, path: Path, shared: SharedOut) -> Iterator[AudioChunk]:
    """Cut as it was when it was shared out; none of a file that was changed since."""
    content = means.reader.identify(path)
    if content.file_hash != shared.file:
        return
    decoded = means.reader.open(means.reader.probe(content))
    for chunk in cut(decoded, ChunkPlanner(shared.size)):
        yield replace(chunk, source=shared.file)


def process_chunk(
    means: Equipment,
    chunk: AudioChunk,
    options: TranscriptionOptions,
    *,
    cancel: CancelToken,
    progressed: Progressed | None,
) -> None:
    """Its answer is in the cache afterwards, if it is a whole one. Raises Cancelled and
    EngineFailure."""
    tracker = ProgressTracker(chunk.duration_s, progressed)
    tracker.decoded(chunk.duration_s)

    def publish(event: DomainEvent) -> None:
        if isinstance(event, ChunkProgressed):
            tracker.progressed(event.chunk_id, event.done_s)
        means.publish(event)

    def slow_down(_: str) -> None:
        means.orchestrator.slow_down()

    processor = ChunkProcessor(
        transcript_id=means.new_id(),
        engine=means.engine,
        detector=means.detector,
        cache=means.cache,
        options=options,
        retries=means.retries,
        cancel=cancel,
        publish=publish,
        clock=means.clock,
        slow_down=slow_down,
        whole=True,
    )

    def done(one: AudioChunk, _: ChunkOutcome) -> None:
        tracker.finished(one.id, one.duration_s)

    means.orchestrator.run(
        iter((chunk,)),
        processor.process,
        cancel=cancel,
        done=done,
        sequential=lambda _: None,
        at_once=ConcurrencyLimit(1),
    )


@dataclass(slots=True, kw_only=True)
class Reel:
    """A file that is being decoded, chunk by chunk, for whoever is next in the line.

    ``promised`` is the number behind the last chunk that somebody stands in line for.
    """

    chunks: Iterator[AudioChunk]
    key: object
    promised: int = 0
    _position: int = 0
    _tickets: int = 0
    _serving: int = 0
    _gone: set[int] = field(default_factory=set)
    _turn: Condition = field(default_factory=Condition)

    def ticket(self, number: int) -> int:
        """Stand in line for a chunk; whoever does ``read``s afterwards."""
        self.promised = number + 1
        self._tickets += 1
        return self._tickets - 1

    def read(self, ticket: int, number: int, cancel: CancelToken) -> AudioChunk | None:
        """None when there are not as many chunks. Raises Cancelled and what decoding raises."""
        try:
            with self._turn:
                while self._serving != ticket:
                    self._turn.wait(LOOKED_AT_EVERY_S)
                    cancel.raise_if_cancelled()
            return self._wound_to(number, cancel)
        finally:
            with self._turn:
                self._gone.add(ticket)
                while self._serving in self._gone:
                    self._gone.remove(self._serving)
                    self._serving += 1
                self._turn.notify_all()

    def _wound_to(self, number: int, cancel: CancelToken) -> AudioChunk | None:
        found = None
        while self._position <= number:
            cancel.raise_if_cancelled()
            found = next(self.chunks, None)
            if found is None:
                return None
            self._position += 1
        return found


class Reels:
    """The files that are being decoded in this process, the one used last at the end."""

    def __init__(self) -> None:
        self._reels: list[Reel] = []
        self._lock = Lock()

    def chunk(
        self,
        key: object,
        number: int,
        begin: Callable[[], Iterator[AudioChunk]],
        *,
        cancel: CancelToken,
    ) -> AudioChunk | None:
        """From a reel that has not passed it yet, or from a new one."""
        with self._lock:
            found = (r for r in self._reels if r.key == key and r.promised <= number)
            reel = max(found, key=lambda r: r.promised, default=None)
            if reel is None:
                reel = Reel(chunks=begin(), key=key)
            else:
                self._reels.remove(reel)
            self._reels = [*self._reels[-(MOST_REELS - 1) :], reel]
            ticket = reel.ticket(number)
        try:
            chunk = reel.read(ticket, number, cancel)
        except BaseException:
            self._drop(reel)
            raise
        if chunk is None:
            self._drop(reel)
        return chunk

    def _drop(self, reel: Reel) -> None:
        with self._lock:
            self._reels = [one for one in self._reels if one is not reel]
