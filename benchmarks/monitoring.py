"""Measures monitoring: ``python -m benchmarks.monitoring``. ``--quick`` checks the harness.

What a record costs, how right percentiles and the counts of killed workers are, and how long the
data behind the dashboard takes.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from tests.counting import COUNTED, CountingCrew, counted_over_all

from benchmarks import ROOT
from benchmarks.figures import Figure, publish
from stretto.bootstrap import build, build_database, upgrade
from stretto.bootstrap.monitoring import build_service
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.adapters.pages import FilePage
from stretto.contexts.monitoring.adapters.sql_store import SqlFrames
from stretto.contexts.monitoring.collector import MetricsCollector
from stretto.contexts.monitoring.dashboards import DashboardGenerator
from stretto.contexts.monitoring.definitions import METRICS
from stretto.contexts.monitoring.feeding import EventFeed
from stretto.contexts.monitoring.frames import STEP_S, STEPS, Frame
from stretto.contexts.monitoring.model import MetricKind
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.service import MonitoringService
from stretto.contexts.monitoring.sketch import P50, P95, P99, Sketch, merged
from stretto.settings import Settings

SPANS: Final = {"an hour": 3600.0, "a day": 86_400.0, "400 days": 400 * 86_400.0}
DISTRIBUTIONS: Final[dict[str, Callable[[random.Random], float]]] = {
    "uniform": lambda dice: dice.uniform(0.01, 100),
    "exponential": lambda dice: dice.expovariate(0.5) + 1e-4,
    "bimodal": lambda dice: abs(dice.choice((dice.gauss(0.05, 0.005), dice.gauss(90, 3)))),
    "constant": lambda _: 0.7,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of a run: records to time, values in each of twenty sketches, kills, looks at the charts, and
    the share of the frames that there can be."""

    records: int
    values: int
    kills: int
    looks: int
    share: float


FULL: Final = Sizes(records=200_000, values=5000, kills=40, looks=20, share=1.0)
QUICK: Final = Sizes(records=2000, values=200, kills=2, looks=2, share=0.01)


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
        yield Figure(what=f"one record of a {name}", value=seconds * 1e6, unit="µs", wanted=1.0)


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
                what=f"counting, as a share of a {name} transcription",
                value=100 * spent / seconds,
                unit="%",
                wanted=1.0 if name == "known" else 0.1,
                more={"it takes": f"{1000 * seconds:.1f} ms", "events": len(heard) // times},
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
            what=f"p50, p95, p99 of twenty sketches: {name}",
            value=100 * max(errors),
            unit="% off",
            wanted=1.0,
        )


def killed_workers(sizes: Sizes, home: Path) -> Figure:
    """Four processes that count and write a ledger, one of them killed and started again at random:
    by how much the count over all differs from the ledger."""
    with CountingCrew(home) as crew:
        crew.kill_at_random(sizes.kills, random.Random(5), within_s=0.3)
    counted = counted_over_all(Settings(home=home)).values[COUNTED]
    return Figure(
        what="count over four workers against their ledger",
        value=100 * abs(counted - crew.written) / crew.written,
        unit="% off",
        wanted=1.0,
        more={"kills": crew.kills, "records": crew.written},
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
    """All series in all frames that are kept. The median look of a page that asks again and again,
    and the first one of a process, which has everything to read."""
    settings = Settings(home=home)
    database = build_database(settings)
    kept = fill(SqlFrames(database), share=sizes.share)
    size_mb = (home / "stretto.sqlite3").stat().st_size / 1e6
    for name, span_s in SPANS.items():
        first = statistics.median(look(build_service(settings, database), span_s) for _ in range(5))
        service = build_service(settings, database)
        looks = [look(service, span_s) for _ in range(1 + sizes.looks)]
        yield Figure(
            what=f"data of the charts, {name}: the first look",
            value=1000 * first,
            unit="ms",
            wanted=50.0,
        )
        yield Figure(
            what=f"data of the charts, {name}",
            value=1000 * statistics.median(looks[1:]),
            unit="ms",
            wanted=50.0,
            more={
                "points": len(
                    service.dashboard(span_s)["rows"][0]["charts"][0]["lines"][0]["values"]
                ),
                **({"database": f"{size_mb:.0f} MB, {kept} frames"} if name == "a day" else {}),
            },
        )
    database.close()


def fill(frames: SqlFrames, *, share: float) -> int:
    """As it is after 400 days; how many frames that are."""
    now, dice = time.time(), random.Random(2)
    start, draw = Timestamp(now), DashboardGenerator().drawn
    drawn = [
        draw(Frame(step_s=STEP_S, start=start, reading=a_full_reading(dice))) for _ in range(20)
    ]
    for step_s, kept_s in STEPS.items():
        count = round(share * kept_s / step_s)
        starts = (Timestamp((now // step_s - back) * step_s) for back in range(1, count + 1))
        made = (
            replace(drawn[n % len(drawn)], step_s=step_s, start=start)
            for n, start in enumerate(starts)
        )
        while batch := list(islice(made, 500)):
            frames.add(batch, [])
    return sum(round(share * kept_s / step_s) for step_s, kept_s in STEPS.items())


def look(service: MonitoringService, span_s: float) -> float:
    """How many seconds it takes."""
    began = time.perf_counter()
    service.dashboard(span_s)
    return time.perf_counter() - began


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


def main(arguments: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.monitoring", description=__doc__)
    made.add_argument("--quick", action="store_true", help="small sizes: checks the harness")
    quick = made.parse_args(arguments).quick
    figures = []
    for figure in measured(QUICK if quick else FULL):
        figures.append(figure)
        print(figure.line(), flush=True)
    if not quick:
        publish(figures, "monitoring")
    return 0 if all(one.met for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
