"""Measures the server: ``python -m benchmarks.server``. ``--quick`` checks the harness.

`stretto serve` runs as its users start it, with the small model, and is asked from this process,
on the same machine. ``--parts`` chooses some of the parts: polling, listeners, upload, schema.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import numpy as np
import psutil

from benchmarks import server_load as load
from benchmarks.caching_edits import demo
from benchmarks.queue import Figure, write
from benchmarks.report import RESULTS
from stretto.bootstrap import build_database, load_settings
from stretto.bootstrap.database import Database
from stretto.bootstrap.queueing import build_queue
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import JobId, TranscriptId
from stretto.contexts.queue import transitions
from stretto.contexts.queue.model import FileWork, JobProgress

MEGABYTE: Final = 1_000_000
BLOCK: Final = os.urandom(1 << 20)
USERS: Final = 50
PAUSE_S: Final = 0.2
CONNECTED_S: Final = 5.0
"""So long listeners have to connect before there is something to hear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done of everything."""

    seconds: float = 20.0
    recording_s: float = 600.0
    listeners: int = 1000
    events: int = 400
    text_bytes: int = 2000
    upload_bytes: int = 4 << 30
    cases: int = 2000


QUICK: Final = Size(
    seconds=2.0,
    recording_s=40.0,
    listeners=20,
    events=40,
    upload_bytes=32 << 20,
    cases=40,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that runs."""

    url: str
    home: Path
    process: psutil.Process

    def memory_mb(self) -> float:
        """What the server itself has, without its worker."""
        return float(self.process.memory_info().rss) / MEGABYTE


@contextmanager
def served(*options: str) -> Generator[Served, None, None]:
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as folder:
        home = Path(folder) / "home"
        others = {k: v for k, v in os.environ.items() if not k.startswith("STRETTO_")}
        ours = {"STRETTO_HOME": str(home), "STRETTO_MODEL": "tiny.en", "STRETTO_OFFLINE": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "stretto", "serve", "--port", "0", *options],
            stderr=subprocess.PIPE,
            env={**others, **ours},
            text=True,
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield Served(url=line.split()[-1], home=home, process=psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def polling(size: Size) -> list[Figure]:
    """Users who look while two recordings are transcribed, and listing with nothing else going
    on."""
    with served() as site, httpx2.Client(base_url=site.url, timeout=60) as client:
        for number in range(40):
            client.post("/api/jobs", files={"file": (f"{number}.wav", os.urandom(50))})
        _until_idle(client)
        alone = asyncio.run(
            load.users(site.url, ["/api/jobs?limit=20"], count=8, seconds=size.seconds, pause_s=0.0)
        )
        ids = [_submitted(client, size, seed) for seed in (1, 2)]
        paths = [*(f"/api/jobs/{one}" for one in ids), "/api/jobs?limit=20", "/api/transcripts"]

        async def both() -> tuple[load.Times, load.Times]:
            return await asyncio.gather(
                load.users(site.url, paths, count=USERS, seconds=size.seconds, pause_s=PAUSE_S),
                load.users(
                    site.url, ["/health", "/ready"], count=2, seconds=size.seconds, pause_s=0.05
                ),
            )

        busy, health = asyncio.run(both())
        states = [client.get(f"/api/jobs/{one}").json() for one in ids]
        done = [round(state["progress"]["fraction"], 2) for state in states]
    rate = len(alone.taken) / size.seconds
    more = {
        "requests": len(busy.taken),
        "median_ms": round(busy.percentile_ms(50), 1),
        "transcribed": done,
    }
    return [
        _at_least("listing alone", rate, "/s", 400, errors=alone.errors),
        _at_most("50 users, two files: p95", busy.percentile_ms(95), "ms", 100, **more),
        _at_most("50 users, two files: errors", busy.errors, "", 0),
        _at_most("health and ready: p95", health.percentile_ms(95), "ms", 50),
    ]


def listeners(size: Size) -> list[Figure]:
    """Many who follow one job, half of whom never read."""
    with served("--jobs", "0") as site:
        before = site.memory_mb()
        settings = load_settings({"STRETTO_HOME": str(site.home)})
        database = build_database(settings)
        queue = build_queue(settings, database, publish=EventBus().publish)
        job = queue.submit(FileWork(path="/nowhere/talk.wav"))
        found = [load.Listener() for _ in range(size.listeners)]
        peak, stopped = [before], threading.Event()

        def watch() -> None:
            while not stopped.wait(0.1):
                peak.append(site.memory_mb())

        watching = threading.Thread(target=watch)
        watching.start()
        half = size.listeners // 2

        async def follow() -> None:
            begun = asyncio.Event()
            reading = [load.listen(site.url, str(job.id), one) for one in found[:half]]
            stalling = [
                load.stall(site.url, str(job.id), one, begun=begun, patience_s=30.0)
                for one in found[half:]
            ]

            async def writing() -> None:
                await asyncio.sleep(CONNECTED_S)
                begun.set()
                await asyncio.to_thread(_events, database, queue, job.id, size)

            await asyncio.gather(writing(), *reading, *stalling)

        asyncio.run(follow())
        stopped.set()
        watching.join()
        expected = [heard.number for heard in _all_events(queue, job.id)]
        database.close()
    missed = sum(len(set(expected) - set(one.numbers)) for one in found[:half])
    wrong = sum(one.numbers != sorted(set(one.numbers)) for one in found[:half])
    cuts = [one.cut_after_s for one in found[half:] if one.cut_after_s is not None]
    return [
        _at_most("listeners: memory", max(peak) - before, "MB", 100, listeners=size.listeners),
        _at_most("listeners: events missed", missed + wrong, "", 0, events=len(expected)),
        _at_most("listeners: stalled, never cut", half - len(cuts), "", 0),
        _at_most("listeners: last stalled one cut", max(cuts, default=0.0), "s", 15),
    ]


def upload(size: Size) -> list[Figure]:
    """One large recording, and the health meanwhile."""
    with served("--jobs", "0") as site:
        before, peak, stopped = site.memory_mb(), [0.0], threading.Event()
        times = load.Times()

        def watch() -> None:
            with httpx2.Client(base_url=site.url, timeout=30) as client:
                while not stopped.wait(0.02):
                    begun = time.monotonic()
                    times.errors += client.get("/health").status_code != 200
                    times.taken.append(time.monotonic() - begun)
                    peak.append(site.memory_mb())

        def body() -> Generator[bytes, None, None]:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
            for _ in range(size.upload_bytes >> 20):
                yield BLOCK
            yield b"\r\n--x--\r\n"

        watching = threading.Thread(target=watch)
        watching.start()
        begun = time.monotonic()
        answer = httpx2.post(
            f"{site.url}/api/jobs",
            content=body(),
            headers={"content-type": "multipart/form-data; boundary=x"},
            timeout=600,
        )
        took = time.monotonic() - begun
        stopped.set()
        watching.join()
    assert answer.status_code == 202, answer.text
    rate = round(size.upload_bytes / took / MEGABYTE)
    return [
        _at_most("upload: memory", max(peak) - before, "MB", 64, MB_per_s=rate),
        _at_most("upload: health p99", times.percentile_ms(99), "ms", 100, errors=times.errors),
    ]


def schema(size: Size) -> list[Figure]:
    """What schemathesis finds, all checks, each route as often as any other."""
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
    with served() as site:
        described = schemathesis.openapi.from_url(f"{site.url}/api/openapi.json")
        all_of_them: list[Any] = [found.ok() for found in described.get_all_operations()]  # type: ignore[union-attr]
        # What happens to all jobs is an answer without an end.
        operations = [one for one in all_of_them if one.path != "/api/events"]
        each = max(2, -(-size.cases // len(operations)))
        cases = problems = bugs = 0

        def asked(case: Any) -> None:
            nonlocal cases, problems, bugs
            cases += 1
            answer = case.call(timeout=30)
            bugs += answer.status_code >= 500
            # How large is too large is a setting, random bytes are no recording, and nothing lies
            # at addresses that somebody thought up.
            fetched = isinstance(case.body, dict) and "url" in case.body
            free = answer.status_code == 413 or case.path.startswith("/v1/audio") or fetched
            excluded = [positive_data_acceptance] if free else []
            try:
                case.validate_response(answer, excluded_checks=excluded)
            except (AssertionError, BaseExceptionGroup) as problem:
                problems += 1
                print(f"{case.method} {case.path}: {problem}"[:400], file=sys.stderr)

        checked = settings(
            max_examples=each, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        for operation in operations:
            checked(given(case=operation.as_strategy())(asked))()
    return [
        _at_least("schemathesis: cases", cases, "", size.cases, operations=len(operations)),
        _at_most("schemathesis: 5xx", bugs, "", 0),
        _at_most("schemathesis: violations", problems, "", 0),
    ]


PARTS: Final[dict[str, Callable[[Size], list[Figure]]]] = {
    "polling": polling,
    "listeners": listeners,
    "upload": upload,
    "schema": schema,
}


def _submitted(client: httpx2.Client, size: Size, seed: int) -> str:
    answer = client.post(
        "/api/jobs", files={"file": (f"long{seed}.wav", _speech(size.recording_s, seed))}
    )
    return str(answer.json()["id"])


def _speech(seconds: float, seed: int) -> bytes:
    """The demo recording again and again, in another hiss each time: none of it is known."""
    with wave.open(str(demo())) as recorded:
        rate, frames = recorded.getframerate(), recorded.readframes(recorded.getnframes())
        assert recorded.getnchannels() == 1
    once = np.frombuffer(frames, np.int16)
    dice = np.random.default_rng(seed)
    turns = [
        np.clip(once + dice.normal(0.0, 3.0, len(once)), -32_768, 32_767).astype(np.int16)
        for _ in range(round(seconds * rate / len(once)))
    ]
    target = io.BytesIO()
    with wave.open(target, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(b"".join(turn.tobytes() for turn in turns))
    return target.getvalue()


def _until_idle(client: httpx2.Client) -> None:
    """Until the worker has started and done what there was."""
    while client.get("/api/jobs?status=queued&limit=1").json()["jobs"]:
        time.sleep(0.1)


def _events(database: Database, queue: Any, job_id: JobId, size: Size) -> None:
    """A job that is worked on quickly, with text in every event."""
    dispatcher = queue.dispatcher
    job = dispatcher.change(
        job_id,
        lambda j, now: transitions.claimed(
            j, now, holder="bench", lease=dispatcher.terms.lease(now)
        ),
    )
    from stretto.bootstrap.text_log import TextLog
    from stretto.contexts.core.transcript import Segment

    text = TextLog(database).of(job)
    for number in range(size.events):
        text.heard((Segment(start=number, end=number + 1, text="word " * (size.text_bytes // 5)),))
        text.write()
        time.sleep(0.02)
    dispatcher.change(
        job_id,
        lambda j, now: transitions.completed(
            j, now, fence=job.fence, transcript_id=TranscriptId.new(), progress=JobProgress()
        ),
    )


def _all_events(queue: Any, job_id: JobId) -> list[Any]:
    found: list[Any] = []
    while page := queue.heard(job_id, after=found[-1].number if found else 0):
        found += page
    return found


def _at_least(what: str, value: float, unit: str, wanted: float, **more: Any) -> Figure:
    return Figure(what=what, value=value, unit=unit, wanted=wanted, at_least=True, more=more)


def _at_most(what: str, value: float, unit: str, wanted: float, **more: Any) -> Figure:
    return Figure(what=what, value=value, unit=unit, wanted=wanted, at_least=False, more=more)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little of all: checks the harness")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, with commas between them")
    given = parser.parse_args(arguments)
    figures: list[Figure] = []
    for name in given.parts.split(","):
        found = PARTS[name](QUICK if given.quick else Size())
        for figure in found:
            print(figure.line(), flush=True)
        figures += found
    target = Path(tempfile.gettempdir()) / "stretto-server.jsonl"
    write(figures, target if given.quick else RESULTS.with_name("server.jsonl"))
    print(json.dumps({"met": sum(one.is_met for one in figures), "of": len(figures)}))


if __name__ == "__main__":
    main()
