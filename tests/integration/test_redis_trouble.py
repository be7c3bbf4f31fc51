"""A Redis that is down, slow, silent, full or closed costs a moment, and comes back by itself."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from stretto.contexts.caching.adapters.memory import MemoryCacheStore
from stretto.contexts.caching.adapters.redis import RedisCacheStore, shown
from stretto.contexts.caching.breaker import Breaker, OutOfReach
from stretto.contexts.caching.model import CacheLevel
from tests.caches import CacheHouse, RedisServer, redis_server
from tests.fakes.clock import FakeClock
from tests.fakes.examples import a_recognition, a_recognition_request

REQUEST, ANSWER = a_recognition_request(), a_recognition()
DROP_S = 0.01
MOST_ADDED_S = 0.05
BUSY_MACHINE_S = 0.1
"""What a machine that does other things as well may add to a measurement."""

BACK_AFTER_S = 10.0


class Proxy:
    """Stands between the program and the server; what it does can be changed at any moment."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.silent = False
        self.delay_s = 0.0
        self.drop_bytes = 0
        """So many bytes of an answer at a time, and not all at once; questions pass whole."""

        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def close(self) -> None:
        self._closed.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server.port or 0)) as server:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each drop is sent alone
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
            self._pump(server, client, answers=True)

    def _pump(self, source: socket.socket, target: socket.socket, *, answers: bool = False) -> None:
        try:
            while data := source.recv(65536):
                if self.silent:
                    continue
                self._closed.wait(self.delay_s)
                in_drops = answers and self.drop_bytes
                size = self.drop_bytes if in_drops else len(data)
                for start in range(0, len(data), size):
                    self._closed.wait(DROP_S if in_drops else 0.0)
                    target.sendall(data[start : start + size])
        except OSError:
            return


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


@contextmanager
def house_over(url: str) -> Iterator[tuple[CacheHouse, RedisCacheStore]]:
    """Redis, and a lasting level below it that has the answer in any case."""
    clock, identity = FakeClock(), uuid4().hex
    store = RedisCacheStore(url, identity=lambda: identity, now=clock)
    lasting = MemoryCacheStore(10**6, now=clock)
    house = CacheHouse([(CacheLevel.L2, store), (CacheLevel.L3, lasting)], clock=clock)
    yield house, store
    store.close()


def find(house: CacheHouse) -> tuple[CacheLevel | None, float]:
    """Which level answered, and how long that took."""
    began = time.perf_counter()
    result = house.cache.look_up(REQUEST)
    took_s = time.perf_counter() - began
    assert result.recognition == ANSWER
    return result.level, took_s


def wait_until(true: Callable[[], bool], *, at_most_s: float) -> float:
    began = time.perf_counter()
    while not true():
        took_s = time.perf_counter() - began
        assert took_s < at_most_s
        threading.Event().wait(0.02)
    return time.perf_counter() - began


def in_use_again(house: CacheHouse) -> bool:
    return find(house)[0] is CacheLevel.L2


def no_trouble_is_felt(house: CacheHouse, *, calls: int = 40) -> None:
    """No error, never more than a moment, and the answer from the level below."""
    took = []
    for _ in range(calls):
        level, took_s = find(house)
        assert level is CacheLevel.L3
        took.append(took_s)
    took.sort()
    assert took[len(took) // 2] < 0.01, "nothing is waited for once the trouble is known"
    assert took[-1] < MOST_ADDED_S + BUSY_MACHINE_S


def test_a_server_that_is_down_is_missed_and_used_again_when_it_is_back(
    server: RedisServer,
) -> None:
    with house_over(server.url) as (house, store):
        assert store.status().working
        house.cache.keep(REQUEST, ANSWER)
        assert find(house)[0] is CacheLevel.L2
        server.stop()
        no_trouble_is_felt(house)
        assert not store.status().working
        assert store.status().trouble
        server.start()
        wait_until(lambda: in_use_again(house), at_most_s=BACK_AFTER_S)
        assert store.status().working


@pytest.mark.parametrize("trouble", ["silent", "slow"])
def test_a_server_that_does_not_answer_in_time_is_missed(server: RedisServer, trouble: str) -> None:
    proxy = Proxy(server)
    with house_over(proxy.url) as (house, _):
        house.cache.keep(REQUEST, ANSWER)
        wait_until(lambda: in_use_again(house), at_most_s=BACK_AFTER_S)
        proxy.silent, proxy.delay_s = trouble == "silent", 2.0 if trouble == "slow" else 0.0
        no_trouble_is_felt(house)
        proxy.silent, proxy.delay_s = False, 0.0
        wait_until(lambda: in_use_again(house), at_most_s=BACK_AFTER_S)
    proxy.close()


def test_an_answer_that_comes_in_drops_is_waited_for_no_longer_than_any_other(
    server: RedisServer,
) -> None:
    """No drop lets anybody wait for long; all of them would, for half a second. The best of some:
    the machine may have been busy during the others."""
    proxy, took = Proxy(server), []
    with house_over(proxy.url) as (house, _):
        house.cache.keep(REQUEST, ANSWER)
        for _ in range(3):
            wait_until(lambda: in_use_again(house), at_most_s=BACK_AFTER_S)
            proxy.drop_bytes = 8
            level, took_s = find(house)
            proxy.drop_bytes = 0
            assert level is CacheLevel.L3
            took.append(took_s)
    proxy.close()
    assert min(took) < MOST_ADDED_S + BUSY_MACHINE_S


def test_a_full_server_takes_nothing_new_and_serves_what_it_has(server: RedisServer) -> None:
    with house_over(server.url) as (house, store):
        assert store.status().working
        house.cache.keep(REQUEST, ANSWER)
        server.run("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.run("CONFIG", "SET", "maxmemory", "1")
        other = a_recognition_request("other")
        house.cache.keep(other, ANSWER)
        assert house.cache.look_up(other).level is CacheLevel.L3
        assert find(house)[0] is CacheLevel.L2
        assert store.status().working
        server.run("CONFIG", "SET", "maxmemory", "0")
        house.cache.keep(other, ANSWER)
        assert house.cache.look_up(other).level is CacheLevel.L2


def test_a_server_that_evicts_is_respected(server: RedisServer) -> None:
    with house_over(server.url) as (house, _):
        server.run("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        for number in range(50):
            house.cache.keep(a_recognition_request(str(number)), ANSWER)
        server.run("CONFIG", "SET", "maxmemory", "1")
        for number in range(50):
            assert house.cache.find(a_recognition_request(str(number))) == ANSWER
        assert server.run("CONFIG", "GET", "maxmemory-policy")[1] == b"allkeys-lru"


def test_a_wrong_password_is_a_miss_and_said(server: RedisServer) -> None:
    server.run("CONFIG", "SET", "requirepass", "secret")
    wrong = server.url.replace("//", "//:wrong@")
    with house_over(wrong) as (house, store):
        house.cache.keep(REQUEST, ANSWER)
        no_trouble_is_felt(house)
        status = store.status()
        assert not status.working
        assert "password" in status.trouble
        assert "wrong" not in status.place


def test_a_server_that_was_never_there_costs_the_first_call_a_moment() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]  # accepts, and never answers
        with house_over(f"redis://127.0.0.1:{port}/0") as (house, _):
            house.cache.keep(REQUEST, ANSWER)
            no_trouble_is_felt(house)


def test_many_threads_do_not_get_each_others_answers(server: RedisServer) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with house_over(server.url) as (house, _):

        def round_trip(number: int) -> bool:
            request = a_recognition_request(str(number))
            house.cache.keep(request, a_recognition(f"answer {number}"))
            return house.cache.find(request) == a_recognition(f"answer {number}")

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(round_trip, range(300)))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:secret@host:1/2?ssl_ca=secret", "redis://***@host:1/2"),
        ("rediss://:secret@host", "rediss://***@host"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, expected: str) -> None:
    assert shown(url) == expected


class Patient:
    """Something that is well, or not, as it is told."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None
        self.probes = 0
        self.probed = threading.Event()

    def probe(self) -> None:
        self.probes += 1
        self.probed.set()
        if self.trouble:
            raise self.trouble


def test_a_breaker_lets_nothing_through_until_a_probe_succeeds() -> None:
    patient = Patient()
    breaker = Breaker(patient.probe, seconds_between=0.01)
    assert breaker.settle(5)
    breaker.pass_or_raise()
    patient.trouble = ConnectionError("gone")
    breaker.failed(ConnectionError("gone"))
    with pytest.raises(OutOfReach, match="gone"):
        breaker.pass_or_raise()
    assert breaker.trouble == "gone"
    patient.trouble = None
    wait_until(lambda: breaker.trouble == "", at_most_s=5)
    breaker.pass_or_raise()
    breaker.close()


def test_a_breaker_that_is_closed_probes_no_more() -> None:
    patient = Patient()
    patient.trouble = ConnectionError("gone")
    breaker = Breaker(patient.probe, seconds_between=0.01)
    assert not breaker.settle(5)
    breaker.close()
    wait_until(lambda: breaker._probing is None or not breaker._probing.is_alive(), at_most_s=5)
    probes = patient.probes
    breaker.failed(ConnectionError("gone"))
    threading.Event().wait(0.05)
    assert patient.probes == probes
