"""Several processes on one database: one computes, and an invalidation reaches all of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap import build_database
from stretto.bootstrap.caching import build_caching, warm_in_background
from stretto.contexts.caching.flights import LEASE_S
from stretto.contexts.caching.model import Selection
from stretto.contexts.core.bus import EventBus
from tests.caches import RedisServer
from tests.conftest import Place
from tests.fakes.examples import a_recognition, a_recognition_request
from tests.servers import settings_of

PROCESSES, CALLERS = 4, 50

ASK = """
import json, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stretto.bootstrap import build_database
from stretto.bootstrap.caching import build_caching
from stretto.contexts.core.bus import EventBus
from stretto.contexts.processing.model import CancelToken
from stretto.settings import Settings
from tests.fakes.examples import a_recognition, a_recognition_request

given = json.loads(sys.argv[1])
given["home"] = Path(given["home"])
callers, seconds = int(sys.argv[2]), float(sys.argv[3])
database = build_database(Settings(**given))
cache = build_caching(Settings(**given), database, EventBus()).cache
REQUEST = a_recognition_request()
"""
COMPUTE = (
    ASK
    + """
def work():
    print("computing", flush=True)
    time.sleep(seconds)
    return a_recognition()

def ask(_):
    return cache.compute(REQUEST, work, cancel=CancelToken()) == a_recognition()

print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(callers) as pool:
    print("answered", sum(pool.map(ask, range(callers))), flush=True)
database.close()
"""
)
WATCH = (
    ASK
    + """
cache.find(REQUEST)
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("end"):
        break
    if line.startswith("load"):
        while cache.find(REQUEST) is None:
            time.sleep(0.01)
        print("loaded", flush=True)
        continue
    until, stale_s = time.monotonic() + 2.5, 0.0
    began = time.monotonic()
    while time.monotonic() < until:
        if cache.find(REQUEST) is None:
            break
        stale_s = time.monotonic() - began
        time.sleep(0.002)
    print(json.dumps(stale_s), flush=True)
database.close()
"""
)


def given_to(place: Place, server: RedisServer | None = None) -> dict[str, Any]:
    settings = settings_of(place)
    return {
        "home": str(settings.home),
        "database_url": settings.database_url,
        "redis_url": server.url if server else "",
    }


@contextmanager
def processes(
    code: str, given: dict[str, Any], count: int, *, callers: int = 1, seconds: float = 0.0
) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"]
    command += [json.dumps(given), str(callers), str(seconds)]
    with ExitStack() as stack:
        running = []
        for _ in range(count):
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            running.append(process)
        for process in running:
            assert heard(process) == "ready"
        yield running


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


@pytest.fixture(params=["without Redis", "with Redis"])
def given(request: pytest.FixtureRequest, place: Place) -> dict[str, Any]:
    if request.param == "without Redis":
        return given_to(place)
    return given_to(place, request.getfixturevalue("shared_redis"))


def test_of_200_callers_in_4_processes_one_computes(given: dict[str, Any]) -> None:
    with processes(COMPUTE, given, PROCESSES, callers=CALLERS, seconds=0.5) as running:
        for process in running:
            tell(process, "go")
        said = [line.strip() for p in running if p.stdout for line in p.stdout]
    assert said.count("computing") == 1
    assert said.count(f"answered {CALLERS}") == PROCESSES


def test_when_the_one_who_computes_is_killed_another_takes_over(place: Place) -> None:
    given = given_to(place)
    with processes(COMPUTE, given, 1, seconds=60.0) as (filler,):
        tell(filler, "go")
        assert heard(filler) == "computing"
        with processes(COMPUTE, given, 2, callers=10, seconds=0.2) as running:
            for process in running:
                tell(process, "go")
            filler.kill()
            began = time.monotonic()
            said = [line.strip() for p in running if p.stdout for line in p.stdout]
            took_s = time.monotonic() - began
    assert said.count("computing") == 1
    assert said.count("answered 10") == 2
    assert took_s < LEASE_S  # nobody waits for the lease of a dead process


def test_an_invalidation_reaches_the_memory_of_every_process(
    given: dict[str, Any], place: Place
) -> None:
    settings = settings_of(place, redis_url=given["redis_url"])
    database = build_database(settings)
    caching = build_caching(settings, database, EventBus())
    request = a_recognition_request()
    stale_s: list[float] = []
    caching.cache.keep(request, a_recognition())
    with processes(WATCH, given, 2) as watching:
        for _ in range(10):
            caching.cache.keep(request, a_recognition())
            for process in watching:
                tell(process, "load")
                assert heard(process) == "loaded"
            caching.management.invalidate(Selection())
            for process in watching:
                tell(process, "look")
            stale_s += [float(heard(process)) for process in watching]
            assert caching.cache.find(request) is None
        for process in watching:
            tell(process, "end")
            process.wait(10)
    database.close()
    assert max(stale_s) < 2.0
    assert sorted(stale_s)[len(stale_s) // 2] < 0.25


def test_what_is_warmed_at_the_start_is_in_memory(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, cache_warm_s=5)
    database = build_database(settings)
    build_caching(settings, database, EventBus()).cache.keep(
        a_recognition_request(), a_recognition()
    )
    again = build_caching(settings, database, EventBus()).management
    warm_in_background(settings, again)
    until = time.monotonic() + 5.0
    while again.status()[0].entries != 1:
        assert time.monotonic() < until
        time.sleep(0.01)
    database.close()
