"""Measures monitoring: ``python -m benchmarks.monitoring``. ``--quick`` checks the harness.

What a record costs, how right percentiles and the counts of killed workers are, and how long the
data behind the dashboard takes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks import ROOT, machine
from benchmarks.report import RESULTS
from stretto.bootstrap import build, build_database, upgrade
from stretto.bootstrap.monitoring import build_monitoring, build_service
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.adapters.pages import FilePage
from stretto.contexts.monitoring.adapters.sql_store import SqlFrames
from stretto.contexts.monitoring.collector import MetricsCollector
from stretto.contexts.monitoring.definitions import METRICS
from stretto.contexts.monitoring.feeding import EventFeed
from stretto.contexts.monitoring.frames import STEP_S, STEPS, Frame
from stretto.contexts.monitoring.model import MetricKind
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.sketch import P50, P95, P99, Sketch, merged
from stretto.settings import Settings

COUNTING: Final = """
import os, sys
from pathlib import Path
from stretto.bootstrap import build_database
from stretto.bootstrap.monitoring import build_monitoring
from stretto.contexts.core.bus import EventBus
from stretto.settings import Settings
settings = Settings(home=Path(sys.argv[1]))
monitoring = build_monitoring(settings, build_database(settings), EventBus(), role="worker")
counter = monitoring.collector.counter("processing.retries")
ledger = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(1, b"up\\n")
while True:
    counter.add()
    os.write(ledger, b".")
"""
WORKERS: Final = 4
DISTRIBUTIONS: Final[dict[str, Callable[[random.Random], float]]] = {
    "uniform": lambda dice: dice.uniform(0.01, 100),
    "exponential": lambda dice: dice.expovariate(0.5) + 1e-4,
    "bimodal": lambda dice: abs(dice.choice((dice.gauss(0.05, 0.005), dice.gauss(90, 3)))),
    "constant": lambda _: 0.7,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of a run: records to time, values in each of twenty sketches, kills, looks at the data."""

    records: int
    values: int
    kills: int
    looks: int


FULL: Final = Sizes(records=200_000, values=5000, kills=40, looks=20)
QUICK: Final = Sizes(records=2000, values=200, kills=2, looks=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the report; ``asked`` is what it is to be."""

    name: str
    value: float
    unit: str
    asked: str
    reached: bool


def records(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """On a page in a file, as a worker has it; the best of five runs, the call included."""
    collector = MetricsCollector(FilePage(folder, role="command"))
    counter = collector.counter("processing.retries")
    gauge = collector.gauge("queue.running")
    timer = collector.timer("gateway.latency")
    calls: dict[str, Callable[[], object]] = {
        "counter": counter.add,
        "gauge": lambda: gauge.set(3.0),
        "timer": lambda: timer.record(0.3),
    }
    for name, call in calls.items():
        seconds = min(timeit.repeat(call, number=sizes.records, repeat=5)) / sizes.records
        yield Figure(
            name=f"one record of a {name}",
            value=seconds * 1e6,
            unit="µs",
            asked="≤ 1 µs",
            reached=seconds <= 1e-6,
        )


def shares_of_a_transcription(sizes: Sizes, home: Path) -> Iterator[Figure]:
    """The events of a real recording, transcribed and then known: what counting them takes, as a
    share of the work that published them."""
    recording = subprocess.check_output(
        [sys.executable, str(ROOT / "scripts" / "demo_recording.py")], text=True
    ).strip()
    heard: list[DomainEvent] = []
    with build(Settings(home=home)) as application:
        application.events.subscribe(DomainEvent, heard.append)
        runs = [("computed", 1), ("known", sizes.looks)]
        for name, times in runs:
            heard.clear()
            took = []
            for _ in range(times):
                began = time.perf_counter()
                application.transcribe(recording)
                took.append(time.perf_counter() - began)
            seconds = statistics.median(took)
            feed = EventFeed(MetricsCollector(FilePage(home / "metrics", role="command")))
            began = time.perf_counter()
            for event in heard:
                feed.heard(event)
            spent = (time.perf_counter() - began) / times
            yield Figure(
                name=f"counting, as a share of a {name} transcription ({1000 * seconds:.1f} ms, "
                f"{len(heard) // times} events)",
                value=100 * spent / seconds,
                unit="%",
                asked="≤ 1 %" if name == "known" else "nothing measurable",
                reached=spent / seconds <= (0.01 if name == "known" else 0.001),
            )


def sketches(sizes: Sizes) -> Iterator[Figure]:
    """The worst of p50, p95 and p99 after merging twenty."""
    for name, draw in DISTRIBUTIONS.items():
        dice = random.Random(11)
        parts = [[draw(dice) for _ in range(sizes.values)] for _ in range(20)]
        everything = sorted(value for part in parts for value in part)
        sketch = merged(Sketch.of(part) for part in parts)
        errors = []
        for percentile in (P50, P95, P99):
            truth = everything[math.ceil(percentile.value / 100 * len(everything)) - 1]
            errors.append(abs((sketch.percentile(percentile) or 0.0) - truth) / truth)
        yield Figure(
            name=f"relative error of percentiles, {name}, twenty sketches merged",
            value=100 * max(errors),
            unit="%",
            asked="≤ 1 %",
            reached=max(errors) <= 0.01 + 1e-9,
        )


def killed_workers(sizes: Sizes, home: Path) -> Figure:
    """Four processes that count and write a ledger, one of them killed and started again at random:
    by how much the count over all differs from the ledger."""
    settings, ledger, dice = Settings(home=home), home / "ledger", random.Random(5)

    def begin() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", COUNTING, str(home), str(ledger)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    workers = [begin() for _ in range(WORKERS)]
    for _ in range(sizes.kills):
        victim = dice.randrange(WORKERS)
        time.sleep(dice.uniform(0.0, 0.3))
        workers[victim].kill()
        workers[victim].communicate()
        workers[victim] = begin()
    for worker in workers:
        worker.kill()
        worker.communicate()
    time.sleep(STEP_S)
    database = build_database(settings)
    last = build_monitoring(settings, database, EventBus(), role="command")
    last.reporter.round()
    counted = last.service.reading().values["processing.retries"]
    written = ledger.stat().st_size
    last.close()
    off = abs(counted - written) / written
    return Figure(
        name=f"count over the fleet against the ledger ({written}), {sizes.kills + WORKERS} kills",
        value=100 * off,
        unit="%",
        asked="≤ 1 %",
        reached=off <= 0.01,
    )


def a_full_reading(dice: random.Random) -> Reading:
    """As of a busy fleet: everything that there is to record was recorded."""
    values: dict[str, float] = {}
    timed: dict[str, Sketch] = {}
    for definition in METRICS:
        for key in definition.series():
            if definition.kind is MetricKind.TIMER:
                timed[key] = Sketch.of(dice.expovariate(1.0) + 0.01 for _ in range(100))
            else:
                values[key] = dice.uniform(0, 1000)
    return Reading(values, timed)


def dashboard(sizes: Sizes, home: Path) -> Iterator[Figure]:
    """All series in all frames of a day; the median look."""
    settings, dice = Settings(home=home), random.Random(2)
    database = build_database(settings)
    now = time.time()
    readings = [a_full_reading(dice) for _ in range(20)]
    for step_s in STEPS:
        frames = [
            Frame(
                step_s=step_s,
                start=Timestamp((now // step_s - n) * step_s),
                reading=readings[n % len(readings)],
            )
            for n in range(min(STEPS[step_s], 86_400) // step_s)
        ]
        SqlFrames(database).add(frames, [])
    service = build_service(settings, database)
    for span_s, asked in ((86_400.0, 50.0), (3600.0, None)):
        took = []
        for _ in range(sizes.looks):
            began = time.perf_counter()
            service.dashboard(span_s)
            took.append(time.perf_counter() - began)
        median_ms = 1000 * statistics.median(took)
        yield Figure(
            name=f"data behind the dashboard, {span_s / 3600:.0f} h",
            value=median_ms,
            unit="ms",
            asked=f"≤ {asked:.0f} ms" if asked else "not asked",
            reached=asked is None or median_ms <= asked,
        )
    size = (home / "stretto.sqlite3").stat().st_size
    yield Figure(
        name="database with all series of a day at all steps",
        value=size / 1e6,
        unit="MB",
        asked="bounded",
        reached=True,
    )
    database.close()


def measured(sizes: Sizes) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="stretto-monitoring-") as name:
        homes = [Path(name, part) for part in ("records", "cache", "fleet", "charts")]
        for home in homes[1:]:
            home.mkdir()
            upgrade(Settings(home=home))
        yield from records(sizes, homes[0])
        yield from shares_of_a_transcription(sizes, homes[1])
        yield from sketches(sizes)
        yield killed_workers(sizes, homes[2])
        yield from dashboard(sizes, homes[3])


def table(figures: Sequence[Figure]) -> str:
    rows = ["| what | measured | asked |", "|---|---:|---|"]
    rows += [f"| {one.name} | {one.value:.3g} {one.unit} | {one.asked} |" for one in figures]
    return "\n".join(rows)


def write(figures: Sequence[Figure], path: Path) -> None:
    """One JSON object a line; the first says when and on what machine."""
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    rows: list[object] = [{"started": started, "machine": machine.describe()}]
    rows += [asdict(figure) for figure in figures]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run; keeps nothing")
    quick = parser.parse_args().quick
    figures = []
    for figure in measured(QUICK if quick else FULL):
        figures.append(figure)
        print(f"{figure.name}: {figure.value:.3g} {figure.unit} ({figure.asked})", flush=True)
    print(table(figures))
    if not quick:
        write(figures, RESULTS.with_name("monitoring.jsonl"))
    return 0 if all(one.reached for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
