"""Chunks run side by side, never more than allowed, and trouble leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from stretto.contexts.core.errors import Cancelled, EngineFailure
from stretto.contexts.processing.model import CancelToken, ConcurrencyLimit
from stretto.contexts.processing.orchestrator import (
    SUCCESSES_TO_SPEED_UP,
    ConcurrencyGate,
    ParallelOrchestrator,
)

PATIENCE_S = 20.0


class Interrupted(BaseException):
    """As KeyboardInterrupt, without stopping the test run if it escapes."""


class Workshop:
    """A process to run that counts how many are in it at once, and waits until it was full."""

    def __init__(self, full: int = 1) -> None:
        self.most = self.finished = 0
        self.processed: list[int] = []
        self._inside = 0
        self._full = full
        self._was_full = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, item: int) -> int:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
            if self._inside >= self._full:
                self._was_full.set()
        assert self._was_full.wait(PATIENCE_S), "it never became full"
        with self._lock:
            self.processed.append(item)
            self._inside -= 1
            self.finished += 1
        return item * item


def run(
    orchestrator: ParallelOrchestrator,
    items: Iterator[int],
    process: Callable[[int], int],
    *,
    cancel: CancelToken | None = None,
    done: Callable[[int, int], None] = lambda _, __: None,
    sequential: Callable[[str], None] = lambda _: None,
) -> None:
    orchestrator.run(
        items, process, cancel=cancel or CancelToken(), done=done, sequential=sequential
    )


def assert_all_places_are_free(orchestrator: ParallelOrchestrator, limit: int) -> None:
    """Full concurrency is reached again, and never more than that."""
    workshop = Workshop(full=limit)
    run(orchestrator, iter(range(3 * limit)), workshop)
    assert workshop.most == limit
    assert sorted(workshop.processed) == list(range(3 * limit))


@pytest.mark.parametrize("limit", [1, 2, 4, 16])
def test_every_item_is_done_exactly_once_and_as_many_run_at_once_as_may(limit: int) -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(limit))
    workshop, outcomes = Workshop(full=limit), dict[int, int]()
    run(orchestrator, iter(range(40)), workshop, done=outcomes.__setitem__)
    assert workshop.most == limit
    assert outcomes == {n: n * n for n in range(40)}
    assert len(workshop.processed) == 40


def test_the_limit_holds_across_files_at_the_same_time() -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(3))
    workshop = Workshop(full=3)
    with ThreadPoolExecutor(2) as files:
        both = [
            files.submit(run, orchestrator, iter(range(start, start + 30)), workshop)
            for start in (0, 100)
        ]
        for file in both:
            file.result(PATIENCE_S)
    assert workshop.most == 3
    assert sorted(workshop.processed) == [*range(30), *range(100, 130)]


def test_items_may_finish_in_any_order() -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(4))
    finished = [threading.Event() for _ in range(5)]
    finished[4].set()
    reported: list[int] = []

    def backwards(item: int) -> int:
        assert finished[item + 1].wait(PATIENCE_S)
        finished[item].set()
        return item

    run(orchestrator, iter(range(4)), backwards, done=lambda item, _: reported.append(item))
    assert sorted(reported) == [0, 1, 2, 3]


def test_an_item_is_reported_while_others_still_run() -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(2))
    reported = threading.Event()

    def process(item: int) -> int:
        assert item == 1 or reported.wait(PATIENCE_S)
        return item

    run(orchestrator, iter(range(2)), process, done=lambda *_: reported.set())
    assert reported.is_set()


def test_nothing_to_do_is_done_at_once() -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(4))
    run(orchestrator, iter(()), Workshop())
    assert_all_places_are_free(orchestrator, 4)


def test_an_item_is_pulled_only_when_there_is_room_for_it() -> None:
    limit = 3
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(limit))
    workshop = Workshop(full=limit)
    waiting: list[int] = []

    def items() -> Iterator[int]:
        for item in range(50):
            waiting.append(item + 1 - workshop.finished)
            yield item

    run(orchestrator, items(), workshop)
    assert max(waiting) <= limit


@pytest.mark.parametrize("error", [EngineFailure("no"), ValueError("bug"), Interrupted()])
def test_an_error_in_an_item_stops_the_intake_and_is_raised(error: BaseException) -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(2))
    pulled, cancel = list[int](), CancelToken()

    def items() -> Iterator[int]:
        for item in range(1_000):
            pulled.append(item)
            yield item

    def process(item: int) -> int:
        if item == 5:
            raise error
        return item

    with pytest.raises(type(error)):
        run(orchestrator, items(), process, cancel=cancel)
    assert cancel.cancelled
    assert 6 <= len(pulled) <= 6 + 2 * 2
    assert_all_places_are_free(orchestrator, 2)


def test_an_error_cancels_what_is_running_and_waits_for_it() -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(2))
    cancel, left = CancelToken(), threading.Event()

    def process(item: int) -> int:
        if item == 1:
            raise EngineFailure
        assert cancel.wait(PATIENCE_S)
        left.set()
        return item

    with pytest.raises(EngineFailure):
        run(orchestrator, iter(range(2)), process, cancel=cancel)
    assert left.is_set()
    assert_all_places_are_free(orchestrator, 2)


@pytest.mark.parametrize("error", [ValueError("bug"), Interrupted()])
def test_an_error_in_the_source_of_items_leaves_all_places_free(error: BaseException) -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(3))
    cancel = CancelToken()

    def items() -> Iterator[int]:
        yield from range(4)
        raise error

    with pytest.raises(type(error)):
        run(orchestrator, items(), Workshop(), cancel=cancel)
    assert cancel.cancelled
    assert_all_places_are_free(orchestrator, 3)


@pytest.mark.parametrize("error", [ValueError("bug"), Interrupted()])
def test_an_error_in_the_report_leaves_all_places_free(error: BaseException) -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(3))

    def done(item: int, _: int) -> None:
        if item == 2:
            raise error

    with pytest.raises(type(error)):
        run(orchestrator, iter(range(20)), Workshop(), done=done)
    assert_all_places_are_free(orchestrator, 3)


def test_a_cancel_ends_the_wait_for_a_place_that_another_file_holds() -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(1))
    entered, release, cancel = threading.Event(), threading.Event(), CancelToken()

    def hold(item: int) -> int:
        entered.set()
        assert release.wait(PATIENCE_S)
        return item

    with ThreadPoolExecutor(1) as files:
        other = files.submit(run, orchestrator, iter([0]), hold)
        assert entered.wait(PATIENCE_S)
        cancel.cancel()
        with pytest.raises(Cancelled):
            run(orchestrator, iter([1]), Workshop(), cancel=cancel)
        release.set()
        other.result(PATIENCE_S)
    assert_all_places_are_free(orchestrator, 1)


def test_a_cancel_in_the_middle_starts_nothing_new() -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(2))
    cancel, processed = CancelToken(), list[int]()

    def process(item: int) -> int:
        cancel.raise_if_cancelled()
        processed.append(item)
        if item == 3:
            cancel.cancel()
        return item

    with pytest.raises(Cancelled):
        run(orchestrator, iter(range(1_000)), process, cancel=cancel)
    assert max(processed) <= 3 + 2 * 2
    assert_all_places_are_free(orchestrator, 2)


def test_trouble_halves_the_limit_and_it_recovers_step_by_step() -> None:
    gate = ConcurrencyGate(ConcurrencyLimit(4))
    assert [gate.slow_down() for _ in range(4)] == [2, 1, 1, 1]
    limits = []
    for _ in range(4 * SUCCESSES_TO_SPEED_UP):
        gate.enter(CancelToken())
        gate.leave(smoothly=True)
        limits.append(gate.limit)
    assert limits == sorted(limits)
    assert limits[SUCCESSES_TO_SPEED_UP - 2] == 1
    assert limits[SUCCESSES_TO_SPEED_UP - 1] == 2
    assert limits[-1] == 4


def test_new_trouble_starts_the_count_of_successes_again() -> None:
    gate = ConcurrencyGate(ConcurrencyLimit(4))
    gate.slow_down()
    for smoothly in [True] * (SUCCESSES_TO_SPEED_UP - 1) + [False, True]:
        gate.enter(CancelToken())
        gate.leave(smoothly=smoothly)
    assert gate.limit == 2


def test_after_a_slow_down_fewer_run_at_once_and_all_are_done() -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(8))
    assert orchestrator.slow_down() == 4
    assert orchestrator.slow_down() == 2
    workshop = Workshop(full=2)
    run(orchestrator, iter(range(SUCCESSES_TO_SPEED_UP - 1)), workshop)
    assert workshop.most == 2
    run(orchestrator, iter(range(200)), workshop)
    assert_all_places_are_free(orchestrator, 8)


@pytest.fixture
def few_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Called with n: the system gives out n more threads for chunks and then refuses."""
    start, left = threading.Thread.start, [1_000]

    def scarce(thread: threading.Thread) -> None:
        if thread.name.startswith("chunk"):
            if left[0] == 0:
                raise RuntimeError("can't start new thread")
            left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    return lambda count: left.__setitem__(0, count)


def test_without_any_thread_items_run_one_after_the_other_and_the_reason_is_told(
    few_threads,
) -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(4))
    few_threads(0)
    workshop, reasons = Workshop(), list[str]()
    run(orchestrator, iter(range(10)), workshop, sequential=reasons.append)
    assert workshop.processed == list(range(10))
    assert "can't start new thread" in reasons[0]
    few_threads(1_000)
    assert_all_places_are_free(orchestrator, 4)


def test_with_one_thread_only_no_item_is_processed_twice(few_threads) -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(4))
    few_threads(1)
    started = threading.Event()
    processed: list[int] = []

    def process(item: int) -> int:
        if item == 0:
            assert started.wait(PATIENCE_S)
        else:
            started.set()
        processed.append(item)
        return item

    run(orchestrator, iter(range(3)), process)
    assert sorted(processed) == [0, 1, 2]
    few_threads(1_000)
    assert_all_places_are_free(orchestrator, 4)


@pytest.mark.parametrize("error", [ValueError("bug"), Interrupted()])
def test_an_error_without_threads_leaves_all_places_free(few_threads, error) -> None:
    orchestrator = ParallelOrchestrator(ConcurrencyLimit(2))
    few_threads(0)

    def process(item: int) -> int:
        raise error

    with pytest.raises(type(error)):
        run(orchestrator, iter(range(3)), process)
    few_threads(1_000)
    assert_all_places_are_free(orchestrator, 2)
