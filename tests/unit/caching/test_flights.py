"""The same is computed once at a time; nobody waits for somebody who does not come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from stretto.contexts.caching.adapters.memory import MemoryCacheStore
from stretto.contexts.caching.model import CacheKey, CacheLevel, Selection
from stretto.contexts.core.errors import Cancelled, TransientEngineFailure
from stretto.contexts.core.recognition import Recognition
from stretto.contexts.processing.model import CancelToken
from tests.caches import CacheHouse
from tests.fakes.caching import MemoryLeases
from tests.fakes.clock import FakeClock
from tests.fakes.examples import A_GAP, a_recognition, a_recognition_request

REQUEST = a_recognition_request()


class Engine:
    """Counts its calls; each waits until it may go on."""

    def __init__(self, *answers: Recognition | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.lock = threading.Lock()

    def __call__(self) -> Recognition:
        with self.lock:
            answer = self.answers[min(self.calls, len(self.answers) - 1)]
            self.calls += 1
        self.begun.set()
        assert self.may_end.wait(20)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ask(
    house: CacheHouse, work: Callable[[], Recognition], cancel: CancelToken | None = None
) -> Recognition:
    return house.cache.compute(REQUEST, work, cancel=cancel or CancelToken())


def test_of_50_who_ask_at_once_one_computes_and_all_have_the_answer() -> None:
    house, engine = CacheHouse(), Engine(a_recognition())
    with ThreadPoolExecutor(50) as pool:
        asking = [pool.submit(ask, house, engine) for _ in range(50)]
        assert engine.begun.wait(20)
        engine.may_end.set()
        assert {future.result(20).segments for future in asking} == {a_recognition().segments}
    assert engine.calls == 1


def test_another_takes_over_when_the_one_who_computes_fails() -> None:
    house, engine = CacheHouse(), Engine(TransientEngineFailure("no"), a_recognition())
    engine.may_end.set()
    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask, house, engine) for _ in range(2)]
        errors = [future.exception(20) for future in asking]
    failed = [error for error in errors if error is not None]
    assert [type(error) for error in failed] == [TransientEngineFailure]
    assert engine.calls == 2


def test_an_answer_with_a_gap_is_not_passed_on() -> None:
    partial = a_recognition("half", A_GAP)
    house, engine = CacheHouse(), Engine(partial, a_recognition("all"))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, house, engine)
        assert engine.begun.wait(20)
        second = pool.submit(ask, house, engine)
        engine.may_end.set()
        assert {first.result(20), second.result(20)} == {partial, a_recognition("all")}


def test_who_asks_after_an_invalidation_does_not_get_what_was_begun_before_it() -> None:
    house, engine = CacheHouse(), Engine(a_recognition("old"), a_recognition("new"))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, house, engine)
        assert engine.begun.wait(20)
        house.invalidator.invalidate(Selection())
        second = pool.submit(ask, house, engine)
        engine.may_end.set()
        assert first.result(20) == a_recognition("old")
        assert second.result(20) == a_recognition("new")
    assert house.cache.find(REQUEST) == a_recognition("new")


def test_a_cancel_ends_the_waiting_at_once() -> None:
    house, engine, cancel = CacheHouse(), Engine(a_recognition()), CancelToken()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, house, engine)
        assert engine.begun.wait(20)
        second = pool.submit(ask, house, engine, cancel)
        cancel.cancel()
        with pytest.raises(Cancelled):
            second.result(20)
        engine.may_end.set()
        assert first.result(20) == a_recognition()


def two_processes(**options: float) -> tuple[CacheHouse, CacheHouse, MemoryLeases]:
    """They share the lasting level and the leases, and nothing else."""
    clock = FakeClock()
    leases = MemoryLeases(clock)
    shared = MemoryCacheStore(10**6, now=clock)
    one, other = (
        CacheHouse([(CacheLevel.L3, shared)], clock=clock, leases=leases, **options)  # type: ignore[arg-type]
        for _ in range(2)
    )
    return one, other, leases


def test_another_process_waits_for_the_answer_and_does_not_compute_it() -> None:
    one, other, _ = two_processes()
    engine = Engine(a_recognition())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, one, engine)
        assert engine.begun.wait(20)
        second = pool.submit(ask, other, engine)
        engine.may_end.set()
        assert first.result(20) == second.result(20) == a_recognition()
    assert engine.calls == 1


def test_another_process_takes_over_when_the_lease_of_a_dead_one_is_over() -> None:
    one, _, leases = two_processes()
    key = one.cache.look_up(REQUEST).key
    assert leases.take(key, "somebody who died", seconds=4.0)
    engine = Engine(a_recognition())
    engine.may_end.set()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask, one, engine)
        assert not engine.begun.wait(0.3)
        one.clock.advance(4.0)
        assert asking.result(20) == a_recognition()


def test_nobody_waits_for_ever_for_somebody_who_lives_and_does_not_finish() -> None:
    one, _, leases = two_processes(patience_s=0.3)
    key = one.cache.look_up(REQUEST).key
    assert leases.take(key, "somebody who hangs", seconds=1e9)
    engine = Engine(a_recognition())
    engine.may_end.set()
    assert ask(one, engine) == a_recognition()


def test_a_lease_is_prolonged_for_as_long_as_the_work_takes() -> None:
    one, _, leases = two_processes(lease_s=0.06)
    engine = Engine(a_recognition())
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask, one, engine)
        assert engine.begun.wait(20)
        before, prolonged = leases.taken, threading.Event()
        while leases.taken < before + 3:
            assert not prolonged.wait(0.01)
        engine.may_end.set()
        asking.result(20)
    assert leases.take(one.cache.look_up(REQUEST).key, "the next one", seconds=1.0)


class BrokenLeases:
    def take(self, key: CacheKey, holder: str, *, seconds: float) -> bool:
        raise ConnectionError("no database")

    def release(self, key: CacheKey, holder: str) -> None:
        raise ConnectionError("no database")


def test_trouble_with_the_leases_keeps_nobody_from_computing() -> None:
    house, engine = CacheHouse(leases=BrokenLeases()), Engine(a_recognition())
    engine.may_end.set()
    assert ask(house, engine) == a_recognition()
    assert house.cache.find(REQUEST) == a_recognition()
