"""Measures the server: ``python -m benchmarks.server``. ``--quick`` checks the harness.

`stretto serve` runs as its users start it, with the small model, and is asked from this process,
on the same machine. ``--parts`` chooses some of the parts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2

from benchmarks import server_load as load
from benchmarks.figures import Figure
from benchmarks.queue import write
from benchmarks.report import RESULTS
from benchmarks.sections import Row, figures_table, rendered
from benchmarks.server_owners import owners
from benchmarks.server_page import page
from benchmarks.server_site import MEGABYTE, QUICK, Size, at_least, at_most, served, submitted
from stretto.bootstrap import build_database, load_settings
from stretto.bootstrap.database import Database
from stretto.bootstrap.queueing import build_queue
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import JobId, TranscriptId
from stretto.contexts.queue import transitions
from stretto.contexts.queue.model import FileWork, JobProgress

PAGE: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BLOCK: Final = os.urandom(1 << 20)
USERS: Final = 50
PAUSE_S: Final = 0.2
CONNECTED_S: Final = 5.0
"""So long listeners have to connect before there is something to hear."""


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
        ids = [submitted(client, size, seed) for seed in (1, 2)]
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
        at_least("listing alone", rate, "/s", 400, errors=alone.errors),
        at_most("50 users, two files: p95", busy.percentile_ms(95), "ms", 100, **more),
        at_most("50 users, two files: errors", busy.errors, "", 0),
        at_most("health and ready: p95", health.percentile_ms(95), "ms", 50),
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
        at_most("listeners: memory", max(peak) - before, "MB", 100, listeners=size.listeners),
        at_most("listeners: events missed", missed + wrong, "", 0, events=len(expected)),
        at_most("listeners: stalled, never cut", half - len(cuts), "", 0),
        at_most("listeners: last stalled one cut", max(cuts, default=0.0), "s", 15),
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
        at_most("upload: memory", max(peak) - before, "MB", 64, MB_per_s=rate),
        at_most("upload: health p99", times.percentile_ms(99), "ms", 100, errors=times.errors),
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
            max_examples=each,
            deadline=None,
            database=None,
            derandomize=False,  # others with each run: the tests ask the same ones each time
            suppress_health_check=list(HealthCheck),
        )
        while cases < size.cases:  # of some routes there are only a few different requests
            for operation in operations:
                checked(given(case=operation.as_strategy())(asked))()
    return [
        at_least("schemathesis: cases", cases, "", size.cases, operations=len(operations)),
        at_most("schemathesis: 5xx", bugs, "", 0),
        at_most("schemathesis: violations", problems, "", 0),
    ]


PARTS: Final[dict[str, Callable[[Size], list[Figure]]]] = {
    "polling": polling,
    "listeners": listeners,
    "upload": upload,
    "schema": schema,
    "owners": owners,
    "page": page,
}


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
    results = RESULTS.with_name("server.jsonl")
    write(figures, Path(tempfile.gettempdir()) / "stretto-server.jsonl" if given.quick else results)
    if not given.quick:
        text = rendered(PAGE.read_text("utf-8"), "server", figures_table(newest(results)))
        PAGE.write_text(text, encoding="utf-8")
    print(json.dumps({"met": sum(one.met for one in figures), "of": len(figures)}))


def newest(results: Path) -> list[Row]:
    """Of each thing that was ever measured, the last time."""
    runs = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    found = {one["what"]: Figure(**one) for run in runs for one in map(_given, run["figures"])}
    return [one.row() for one in found.values()]


def _given(figure: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figure.items() if name != "met"}


if __name__ == "__main__":
    main()
