"""Many processes at once: who computes, who takes over, and how long a stale answer lives."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.caching_figures import Sizes, answer, opened, request
from benchmarks.figures import Figure
from stretto.contexts.caching.model import Selection

NO_SECONDS: Final = 0.0


def stampede(home: Path, sizes: Sizes) -> Figure:
    """All callers of all processes want the same answer at the same time."""
    with opened(home):
        pass
    with processes(_COMPUTE, home, "", sizes.processes, sizes.callers, 1.0) as running:
        said = told_to_go(running)
    computed = said.count("computing")
    more = {
        "processes": sizes.processes,
        "callers each": sizes.callers,
        "answered": sum(int(line.split()[1]) for line in said if line.startswith("answered")),
    }
    return Figure(what="stampede", value=computed, unit="computed", wanted=1, more=more)


def killed(home: Path, sizes: Sizes) -> Figure:
    """The one who computes is killed while the others wait."""
    with opened(home):
        pass
    with processes(_COMPUTE, home, "", 1, 1, 600.0) as (filler,):
        say(filler, "go")
        assert heard(filler) == "computing"
        others = max(1, sizes.processes - 1)
        with processes(_COMPUTE, home, "", others, sizes.callers, 0.5) as running:
            for process in running:
                say(process, "go")
            filler.kill()
            began = time.monotonic()
            said = [line.strip() for process in running for line in process.stdout or ()]
            took_s = time.monotonic() - began
    computed = 1 + said.count("computing")
    more = {"until all had it, s": round(took_s, 2)}
    return Figure(
        what="stampede, filler killed", value=computed, unit="computed", wanted=2, more=more
    )


def stale_reads(home: Path, url: str, sizes: Sizes) -> Figure:
    """How long after an invalidation other processes still had the answer in memory."""
    asked, given = request("stampede"), answer(30.0, seed=4)
    stale_s: list[float] = []
    with opened(home, url) as (caching, _):
        watchers = processes(_WATCH, home, url, sizes.processes, 1, NO_SECONDS)
        with watchers as watching:
            for _ in range(sizes.invalidations):
                caching.cache.keep(asked, given)
                for process in watching:
                    say(process, "load")
                    assert heard(process) == "loaded"
                caching.management.invalidate(Selection())
                for process in watching:
                    say(process, "look")
                stale_s += [float(heard(process)) for process in watching]
            for process in watching:
                say(process, "end")
                process.wait(20)
    stale_s.sort()
    p99_ms = 1000 * stale_s[min(len(stale_s) - 1, round(0.99 * len(stale_s)))]
    more = {
        "invalidations": sizes.invalidations,
        "processes": sizes.processes,
        "longest, ms": round(1000 * stale_s[-1], 1),
        "after 2 s": sum(one >= 2.0 for one in stale_s),
    }
    return Figure(what="stale reads, p99", value=p99_ms, unit="ms", wanted=250, more=more)


@contextmanager
def processes(
    code: str, home: Path, url: str, count: int, callers: int, seconds: float
) -> Generator[list[subprocess.Popen[str]], None, None]:
    command = [sys.executable, "-c", _BEGIN + code, str(home), url, str(callers), str(seconds)]
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


def told_to_go(running: list[subprocess.Popen[str]]) -> list[str]:
    for process in running:
        say(process, "go")
    return [line.strip() for process in running for line in process.stdout or ()]


def say(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


_BEGIN: Final = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from benchmarks.caching_figures import answer, opened, request
from stretto.contexts.processing.model import CancelToken
home, url, callers, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
ASKED, GIVEN = request("stampede"), answer(30.0, seed=4)
"""
_COMPUTE: Final = """
def work():
    print("computing", flush=True)
    time.sleep(seconds)
    return GIVEN

with opened(home, url) as (caching, _):
    def ask(number):
        return caching.cache.compute(ASKED, work, cancel=CancelToken()).segments == GIVEN.segments
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(callers) as pool:
        print("answered", sum(pool.map(ask, range(callers))), flush=True)
"""
_WATCH: Final = """
with opened(home, url) as (caching, _):
    print("ready", flush=True)
    for line in sys.stdin:
        if line.startswith("end"):
            break
        if line.startswith("load"):
            while caching.cache.find(ASKED) is None:
                time.sleep(0.002)
            print("loaded", flush=True)
            continue
        began, stale_s = time.monotonic(), 0.0
        while caching.cache.find(ASKED) is not None and time.monotonic() - began < 3.0:
            stale_s = time.monotonic() - began
            time.sleep(0.001)
        print(json.dumps(stale_s), flush=True)
"""
