"""Runs chunks side by side: at most so many at once in the whole process, finished in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Condition, Lock
from typing import Final, Generic, TypeVar

from stretto.contexts.processing.model import CancelToken, ConcurrencyLimit

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

SUCCESSES_TO_SPEED_UP: Final = 8
"""After so many chunks without trouble one more is let in again (additive increase)."""


class ConcurrencyGate:
    """Lets at most ``limit`` holders in; the limit halves on trouble and recovers slowly.

    One gate is shared by all files of a process.
    """

    def __init__(self, limit: ConcurrencyLimit) -> None:
        self._ceiling = self._limit = limit.value
        self._inside = 0
        self._successes = 0
        self._changed = Condition()

    @property
    def limit(self) -> int:
        return self._limit

    def enter(self, cancel: CancelToken) -> None:
        """Waits for a free place. Raises Cancelled."""
        with self._changed:
            while self._inside >= self._limit:
                self._changed.wait(timeout=0.1)
                cancel.raise_if_cancelled()
            self._inside += 1

    def leave(self, *, smoothly: bool) -> None:
        with self._changed:
            self._inside -= 1
            self._successes = self._successes + 1 if smoothly else 0
            if self._successes >= SUCCESSES_TO_SPEED_UP and self._limit < self._ceiling:
                self._limit += 1
                self._successes = 0
            self._changed.notify_all()

    def slow_down(self) -> int:
        """Halve the limit, down to one. Returns the new limit."""
        with self._changed:
            self._limit = max(1, self._limit // 2)
            self._successes = 0
            return self._limit


class ParallelOrchestrator:
    """Pulls items from an iterator only when there is room for one, so memory stays bounded."""

    def __init__(self, limit: ConcurrencyLimit) -> None:
        self._gate = ConcurrencyGate(limit)
        self._threads = limit.value

    def run(
        self,
        items: Iterator[Item],
        process: Callable[[Item], Outcome],
        *,
        cancel: CancelToken,
        done: Callable[[Item, Outcome], None],
        sequential: Callable[[str], None],
        at_once: ConcurrencyLimit | None = None,
    ) -> None:
        """Process all ``items``; ``done`` hears of each on the calling thread, as it finishes.

        ``at_once`` limits these items below what the process allows. The first error stops the
        intake, cancels what is running, and is raised; what had finished has been reported.
        ``sequential`` is told, with the reason, when no threads can be had and the items are
        processed one after the other.
        """
        most = min(self._threads, at_once.value) if at_once else self._threads
        pool = ThreadPoolExecutor(most, thread_name_prefix="chunk")
        running: dict[Future[Outcome], Item] = {}
        try:
            while True:
                self._gate.enter(cancel)
                item = self._next_or_leave(items)
                if item is None:
                    break
                future = self._start(pool, process, item, sequential)
                running[future] = item
                self._collect(running, done, block=len(running) >= most)
            while running:
                self._collect(running, done, block=True)
        except BaseException:
            cancel.cancel()
            raise
        finally:
            pool.shutdown(wait=True)

    def slow_down(self) -> int:
        return self._gate.slow_down()

    def _next_or_leave(self, items: Iterator[Item]) -> Item | None:
        try:
            item = next(items, None)
        except BaseException:
            self._gate.leave(smoothly=True)
            raise
        if item is None:
            self._gate.leave(smoothly=True)
        return item

    def _start(
        self,
        pool: ThreadPoolExecutor,
        process: Callable[[Item], Outcome],
        item: Item,
        sequential: Callable[[str], None],
    ) -> Future[Outcome]:
        task = _Task(lambda: self._guarded(process, item))
        try:
            pool.submit(task.run)
        except RuntimeError as cause:  # the system gives out no more threads
            sequential(str(cause))
            task.run()
        return task.future

    def _guarded(self, process: Callable[[Item], Outcome], item: Item) -> Outcome:
        smoothly = False
        try:
            outcome = process(item)
            smoothly = True
            return outcome
        finally:
            self._gate.leave(smoothly=smoothly)

    def _collect(
        self,
        running: dict[Future[Outcome], Item],
        done: Callable[[Item, Outcome], None],
        *,
        block: bool,
    ) -> None:
        finished, _ = wait(running, timeout=None if block else 0, return_when=FIRST_COMPLETED)
        errors = []
        for future in finished:
            item = running.pop(future)
            if error := future.exception():
                errors.append(error)
            else:
                done(item, future.result())
        if errors:
            raise errors[0]


class _Task(Generic[Outcome]):
    """Work that is done once, whoever comes first: a pool that fails to start a thread has
    queued the work all the same, and another of its threads may take it."""

    def __init__(self, work: Callable[[], Outcome]) -> None:
        self.future: Future[Outcome] = Future()
        self._work = work
        self._taken = Lock()

    def run(self) -> None:
        if not self._taken.acquire(blocking=False):
            return
        try:
            self.future.set_result(self._work())
        except BaseException as error:  # raised again where the future is looked at
            self.future.set_exception(error)
