"""A limit that nobody told, shared by two processes; and calls that take unusually long."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.fakes.audio import a_chunk
from tests.fakes.backend import Entry, backend
from tests.fakes.backend_script import Call, Reply, refused

from benchmarks import ROOT
from benchmarks.caching_figures import redis_url
from benchmarks.figures import Figure
from benchmarks.gateway_figures import Client, Sizes, percentile, small
from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.errors import TransientEngineFailure
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.processing.adapters.remote import RemoteEngine
from stretto.contexts.processing.hedged_engine import HedgedEngine
from stretto.contexts.processing.model import CancelToken
from stretto.contexts.processing.ports import Engine

LIMITS: Final = ((0.0, 10.0), (25.0, 2.0), (50.0, 10.0))
"""From which second on how many calls a second are taken."""

LENGTH_S: Final = 80.0
SLOW_EVERY: Final = 20
USUAL_S, SLOW_S = 0.2, 4.0


def measured(sizes: Sizes) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as name, redis_url() as url:
        yield from unknown_limit(Path(name) / "limit", url, sizes)
        yield from slow_calls(Path(name) / "slow", sizes)


def unknown_limit(folder: Path, redis: str, sizes: Sizes) -> Iterator[Figure]:
    """Two processes with two tenants in each, which always want more than they get."""
    folder.mkdir()
    pace = max(0.1, sizes.share)
    bucket = _Bucket(pace)
    with backend(folder, script=bucket.script) as server, ExitStack() as stack:
        where = [server.url, str(server.authority_file(folder)), redis, str(LENGTH_S * pace)]
        command = [sys.executable, "-m", "benchmarks.gateway_limits", *where]
        running = [
            stack.enter_context(
                subprocess.Popen([*command, str(n)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            )
            for n in range(2)
        ]
        told = [json.loads(process.communicate()[0]) for process in running]
        entries = server.entries()
    served = [count for one in told for count in one]
    began = bucket.began

    def between(start: float, end: float) -> list[Entry]:
        return [e for e in entries if start <= (e.at - began) / pace < end]

    yield Figure(
        what="unknown limit: refused after 10 s",
        value=_refused(between(10.0, LENGTH_S)),
        unit="%",
        wanted=2.0,
        more={
            "10 a second": f"{_refused(between(10, 25)):.1f} %",
            "15 s after the fall to 2": f"{_refused(between(25, 40)):.1f} %",
            "then": f"{_refused(between(40, 50)):.1f} %",
            "10 again": f"{_refused(between(50, 80)):.1f} %",
        },
    )
    for start, end, limit in ((10.0, 25.0, 10.0), (40.0, 50.0, 2.0), (65.0, 80.0, 10.0)):
        answered = sum(entry.status == 200 for entry in between(start, end))
        yield Figure(
            what=f"limit of {limit:g} a second, {start:g} s to {end:g} s",
            value=100 * answered / (end - start) / pace / limit,
            unit="%",
            wanted=90.0,
            at_least=True,
        )
    yield Figure(
        what="fairness between tenants (Jain)",
        value=sum(served) ** 2 / (len(served) * sum(one**2 for one in served)),
        unit="",
        wanted=0.9,
        at_least=True,
        more={"calls": served},
    )


class _Bucket:
    """Takes so many calls a second, a second's worth at once; time runs from the first call on."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._tokens = 10.0
        self._at = 0.0
        self.began = 0.0

    def script(self, _: Call) -> Reply:
        now = time.monotonic()
        self.began = self.began or now
        passed_s = (now - self.began) / self._pace
        per_s = next(limit for start, limit in reversed(LIMITS) if passed_s >= start)
        self._tokens = min(per_s, self._tokens + (now - (self._at or now)) * per_s)
        self._at = now
        if self._tokens < 1.0:
            wait_ms = 1 + int(1000 * (1.0 - self._tokens) / per_s)
            return refused(429, "slow down", retry_after_ms=str(wait_ms))
        self._tokens -= 1.0
        return Reply(takes_s=0.05)


def _refused(entries: list[Entry]) -> float:
    return 100 * sum(entry.status != 200 for entry in entries) / max(1, len(entries))


def ask_without_end(url: str, authority: str, redis: str, seconds: str, process: str) -> None:
    """One of the processes: nine callers of one tenant and three of another. Says how many calls
    of each were answered."""
    client = Client(
        {"url": url, "authority": authority}, redis_url=redis, remote_concurrency=16
    ).with_retries_for_all()
    until = time.monotonic() + float(seconds)
    numbers = itertools.count(int(process), 2)
    answered: Counter[str] = Counter()
    lock = threading.Lock()

    def ask(tenant: str) -> None:
        while time.monotonic() < until:
            try:
                client.send(small(next(numbers)), tenant=tenant)
            except TransientEngineFailure:
                continue
            with lock:
                answered[tenant] += 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(ask, ["many"] * 9 + ["few"] * 3))
    client.services.close()
    print(json.dumps([answered["many"], answered["few"]]))


def slow_calls(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """One call in twenty takes twenty times as long; then the same with an engine behind."""
    folder.mkdir()
    calls = sizes.many(400)
    lock, seen = threading.Lock(), Counter[str]()

    def script(call: Call) -> Reply:
        if call.fields["model"] == "behind":
            return Reply(takes_s=USUAL_S)
        with lock:
            seen["first"] += 1
            slow = seen["first"] % SLOW_EVERY == 0
        return Reply(takes_s=SLOW_S if slow else USUAL_S)

    with backend(folder, script=script) as server:
        client = Client(server, authority=str(server.authority_file(folder)), remote_concurrency=16)
        first: Engine = RemoteEngine(client.service)
        behind = RemoteEngine(client.services("openai", "behind"))
        hedged = HedgedEngine(
            first=first,
            second=behind,
            calm=lambda: client.services.calm("openai"),
            clock=time.monotonic,
        )
        alone_s = _heard(first, range(calls))
        seen.clear()
        with_help_s = _heard(hedged, range(calls, 2 * calls))
        client.services.close()
    yield Figure(
        what="slow calls: p99 alone / with an engine behind",
        value=percentile(alone_s, 0.99) / percentile(with_help_s, 0.99),
        unit="×",
        wanted=3.0,
        at_least=True,
        more={
            "alone, s": round(percentile(alone_s, 0.99), 2),
            "with, s": round(percentile(with_help_s, 0.99), 2),
            "calls": calls,
        },
    )
    yield Figure(
        what="slow calls: made twice", value=100 * hedged.hedges / calls, unit="%", wanted=5.0
    )


def _heard(engine: Engine, numbers: range) -> list[float]:
    def hear(number: int) -> float:
        chunk = a_chunk(small(number).samples, speech=(Span(0, SAMPLE_RATE_HZ),))
        began = time.monotonic()
        engine.recognise(chunk, TranscriptionOptions(), cancel=CancelToken(), report=lambda _: None)
        return time.monotonic() - began

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(hear, numbers))


if __name__ == "__main__":
    ask_without_end(*sys.argv[1:])
