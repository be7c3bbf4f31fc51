"""An engine with a second one behind it: a chunk that takes unusually long is given to both.

The first answer counts (Dean and Barroso, The Tail at Scale, 2013).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from threading import Lock, Thread
from typing import Final

from stretto.contexts.core.errors import Cancelled
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import EngineIdentity, Recognition, TranscriptionOptions
from stretto.contexts.processing.model import AudioChunk, CancelToken, EngineLimits
from stretto.contexts.processing.ports import Engine

FEWEST_CALLS: Final = 8
"""Before so many calls nobody knows what is unusual."""

REMEMBERED_CALLS: Final = 100
UNUSUAL: Final = 0.95
CALLS_FOR_A_SECOND: Final = 20
"""So many calls pay for one that is made twice: never more than one in twenty is."""

MOST_SAVED: Final = 5 * CALLS_FOR_A_SECOND
"""A service that becomes slow after a good day is not asked for all of that day at once."""

SECONDS_BETWEEN_LOOKS: Final = 0.1


class HedgedEngine:
    """Satisfies the Engine port, as ``first`` does; ``calm`` says whether ``first`` is slow without
    having been told to slow down. ``clock`` is monotonic, in seconds.

    The identity names both engines, because either may have answered; a chunk that ``second``
    answered says so.
    """

    def __init__(
        self,
        *,
        first: Engine,
        second: Engine,
        calm: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._first = first
        self._second = second
        self._calm = calm
        self._clock = clock
        self._took_s: deque[float] = deque(maxlen=REMEMBERED_CALLS)
        self._saved = self._hedges = 0
        self._lock = Lock()

    @property
    def identity(self) -> EngineIdentity:
        first, second = self._first.identity, self._second.identity
        other = (second.engine, second.engine_version, second.model, second.model_revision)
        return replace(first, settings=f"{first.settings} or {(*other, second.settings)!r}")

    @property
    def limits(self) -> EngineLimits:
        return self._first.limits

    @property
    def hedges(self) -> int:
        """How many chunks were given to both."""
        return self._hedges

    def prepare(self) -> None:
        self._first.prepare()

    def detect_language(self, chunk: AudioChunk) -> tuple[Language | None, float]:
        return self._first.detect_language(chunk)

    def recognise(
        self,
        chunk: AudioChunk,
        options: TranscriptionOptions,
        *,
        cancel: CancelToken,
        report: Callable[[float], None],
    ) -> Recognition:
        began = self._clock()
        after_s = self._unusual_s()
        stops = CancelToken(), CancelToken()
        first = _started(self._first, chunk, options, stops[0], report)
        running = {first}
        try:
            while True:
                done, _ = wait(running, SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
                cancel.raise_if_cancelled()
                if (answer := _answer(done, first, self._second)) is not None:
                    self._learn(self._clock() - began)
                    return answer
                if len(done) == len(running):
                    return first.result()  # it raises what the first one raised
                running -= {one for one in done if one is not first}
                late = after_s is not None and self._clock() - began >= after_s
                if late and len(running) == 1 and first in running and self._may_hedge():
                    after_s = None
                    running.add(_started(self._second, chunk, options, stops[1], lambda _: None))
        finally:
            for stop in stops:
                stop.cancel()

    def _unusual_s(self) -> float | None:
        """How long nineteen of twenty calls take at most; None while there were too few."""
        with self._lock:
            self._saved = min(MOST_SAVED, self._saved + 1)
            if len(self._took_s) < FEWEST_CALLS:
                return None
            ordered = sorted(self._took_s)
            return ordered[min(len(ordered) - 1, int(UNUSUAL * len(ordered)))]

    def _may_hedge(self) -> bool:
        if not self._calm():
            return False
        with self._lock:
            if self._saved < CALLS_FOR_A_SECOND:
                return False
            self._saved -= CALLS_FOR_A_SECOND
            self._hedges += 1
            return True

    def _learn(self, seconds: float) -> None:
        with self._lock:
            self._took_s.append(seconds)


def _started(
    engine: Engine,
    chunk: AudioChunk,
    options: TranscriptionOptions,
    cancel: CancelToken,
    report: Callable[[float], None],
) -> Future[Recognition]:
    """On a thread of its own, which ends soon after ``cancel``."""
    future: Future[Recognition] = Future()

    def work() -> None:
        try:
            future.set_result(engine.recognise(chunk, options, cancel=cancel, report=report))
        except BaseException as error:  # raised again where the future is looked at
            future.set_exception(error)

    Thread(target=work, name="hedged", daemon=True).start()
    return future


def _answer(
    done: set[Future[Recognition]], first: Future[Recognition], second: Engine
) -> Recognition | None:
    """The first one's answer if it is there, else the second one's, with its name."""
    if first in done and first.exception() is None:
        return first.result()
    other = next((one for one in done if one is not first and one.exception() is None), None)
    if other is None or isinstance(other.exception(), Cancelled):
        return None
    identity = second.identity
    return replace(other.result(), answered_by=f"{identity.engine} {identity.model}")
