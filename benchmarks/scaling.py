"""Plans a fleet: ``python -m benchmarks.scaling``. ``--quick`` checks the harness.

Measures what one job, and one worker that is merely alive, cost the database and the broker, here.
Then a simulation of many workers on top: each finishes a job, fetches a message, claims the next
job, and waits in line for both, while all of them beat, look and sweep.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.caches import RedisServer, redis_server

from benchmarks import ROOT, machine
from benchmarks.queue import place, queue_of, throughput
from benchmarks.report import RESULTS
from benchmarks.sections import rendered
from stretto.bootstrap import build_database
from stretto.bootstrap.clock import now
from stretto.bootstrap.queueing import clock_of, jobs_of
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.adapters.celery_broker import CeleryMessages
from stretto.contexts.queue.adapters.celery_ready import SqlReadyJobs
from stretto.contexts.queue.adapters.workers import SqlWorkers
from stretto.contexts.queue.model import EVERY_QUEUE, FileWork, JobPriority, LeaseTerms, WorkerNode
from stretto.contexts.queue.summons import ENOUGH
from stretto.settings import Settings

WORKERS: Final = (1, 10, 30, 100, 300, 1000, 3000, 10_000)
JOBS_S: Final = {"15 s": 15.0, "2 min": 120.0, "30 min": 1800.0}
"""How long a worker has with one job."""

TERMS: Final = LeaseTerms()
PAGE: Final = ROOT / "docs" / "scaling.md"
PLOT: Final = ROOT / "docs" / "images" / "scaling.svg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds of the database: ``job_s`` for a whole job, ``look_s``, ``beat_s`` and ``sweep_s``
    for each of these of one worker, with a backlog whose messages wait; ``lost_s`` for a sweep when
    they were lost; ``message_s`` of the broker. Bytes on the disk, and in the broker."""

    job_s: float
    look_s: float
    beat_s: float
    sweep_s: float
    lost_s: float
    message_s: float
    job_bytes: float
    message_bytes: float

    def alive(self) -> float:
        """The share of the database that one busy worker takes without finishing anything."""
        terms = TERMS
        return (
            self.look_s / terms.look_s + self.beat_s / terms.beat_s + self.sweep_s / terms.sweep_s
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """``working`` is the share of their time that the workers work; 0 where the database has
    nothing left beside their signs of life."""

    workers: int
    job: str
    working: float
    jobs_per_s: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little: checks the harness")
    given = parser.parse_args(arguments)
    jobs = 60 if given.quick else 3000
    with place("postgresql") as settings, a_redis() as redis:
        costs = measured(settings, redis, jobs)
    points = [
        simulated(costs, workers=workers, job=job, jobs_each=2 if given.quick else 6)
        for job in JOBS_S
        for workers in WORKERS
    ]
    body = report(costs, points)
    print(body)
    if given.quick:
        return
    PAGE.write_text(rendered(PAGE.read_text("utf-8"), "scaling", body), "utf-8")
    document = {
        "machine": machine.describe(),
        "costs": asdict(costs),
        "points": [asdict(point) for point in points],
    }
    with RESULTS.with_name("scaling.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(document) + "\n")
    draw(points, PLOT)


@contextmanager
def a_redis() -> Generator[RedisServer, None, None]:
    with (
        tempfile.TemporaryDirectory(prefix="stretto-bench-") as name,
        redis_server(Path(name) / "redis") as server,
    ):
        yield server


def measured(settings: Settings, redis: RedisServer, jobs: int) -> Costs:
    run = throughput(settings, jobs, workers=4, hands=1)
    database = build_database(settings)
    try:
        with queue_of(settings) as queue:
            job_bytes = bytes_of_tables(database) / jobs
            workers = SqlWorkers(database, clock=clock_of(database))
            table = jobs_of(database)
            ready = SqlReadyJobs(database, clock=clock_of(database))
            node = WorkerNode(
                id="w", host="h", pid=1, concurrency=1, queues=EVERY_QUEUE, started_at=now()
            )
            for number in range(jobs):
                queue.submit(FileWork(path=f"/nowhere/waiting-{number}.wav"))

            def sweep(queues: Sequence[JobPriority]) -> None:
                table.expired(200)
                ready.ready(queues, limit=ENOUGH)

            look_s = seconds_of(lambda: table.held_by(node.id), jobs)
            beat_s = seconds_of(lambda: workers.beat(node, TERMS.lease), jobs)
            others = [queue for queue in EVERY_QUEUE if queue is not JobPriority.MEDIUM]
            sweep_s = seconds_of(lambda: sweep(others), max(10, jobs // 10))
            lost_s = seconds_of(lambda: sweep(EVERY_QUEUE), max(10, jobs // 10))
    finally:
        database.close()
    messages = CeleryMessages(redis.url)
    before = memory_of(redis)
    message_s = seconds_of(lambda: messages.send(JobId.new(), JobPriority.LOW), jobs)
    message_bytes = (memory_of(redis) - before) / jobs
    messages.close()
    return Costs(
        job_s=1.0 / run.rate,
        look_s=look_s,
        beat_s=beat_s,
        sweep_s=sweep_s,
        lost_s=lost_s,
        message_s=message_s,
        job_bytes=job_bytes,
        message_bytes=message_bytes,
    )


def seconds_of(work: Callable[[], object], times: int) -> float:
    work()
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


def bytes_of_tables(database: Any) -> float:
    """What jobs and their events take, indexes included."""
    with database.read() as connection:
        (total,) = connection.execute(
            "SELECT pg_total_relation_size('queue_job') + pg_total_relation_size('outbox_event')"
        ).fetchone()
    return float(total)


def memory_of(redis: RedisServer) -> int:
    return int(redis.run("INFO", "memory")["used_memory"])


def simulated(costs: Costs, *, workers: int, job: str, jobs_each: int) -> Point:
    """Workers that finish a job take the next one: first in line at the broker, then at the table,
    each of which serves one after the other. The table has left what its living workers leave it.
    Jobs take between half and one and a half of their mean, and begin spread over one of them."""
    left = 1.0 - workers * costs.alive()
    if left <= 0:
        return Point(workers=workers, job=job, working=0.0, jobs_per_s=0.0)
    dice, mean_s = random.Random(1), JOBS_S[job]
    ends = [(dice.uniform(0.0, mean_s), 0) for _ in range(workers)]
    heapq.heapify(ends)
    broker_free = table_free = worked = waited = last = 0.0
    done = 0
    while ends:
        at, jobs = heapq.heappop(ends)
        broker_free = max(at, broker_free) + costs.message_s
        table_free = max(broker_free, table_free) + costs.job_s / left
        waited += table_free - at
        done += 1
        last = max(last, at)
        if jobs < jobs_each:
            takes = mean_s * dice.uniform(0.5, 1.5)
            worked += takes
            heapq.heappush(ends, (table_free + takes, jobs + 1))
    return Point(
        workers=workers,
        job=job,
        working=worked / (worked + waited),
        jobs_per_s=done / max(last, costs.job_s),
    )


def report(costs: Costs, points: Sequence[Point]) -> str:
    """As a part of the page."""
    found = machine.describe()
    lines = [
        "| | costs |",
        "| --- | --- |",
        f"| a job: accepted, claimed, ended | {1e3 * costs.job_s:.2f} ms of the database "
        f"({1 / costs.job_s:.0f} a second), {costs.job_bytes:.0f} bytes with its events |",
        f"| a look, a beat, a sweep | {1e3 * costs.look_s:.2f}, {1e3 * costs.beat_s:.2f} and "
        f"{1e3 * costs.sweep_s:.2f} ms: a busy process takes {costs.alive():.2%} |",
        f"| a sweep after all messages were lost | {1e3 * costs.lost_s:.2f} ms |",
        f"| a message | {1e3 * costs.message_s:.2f} ms of the broker, "
        f"{costs.message_bytes:.0f} bytes |",
        "",
        "Simulated: the share of their time that workers work, and the jobs that end in a second.",
        "",
        "| processes | " + " | ".join(f"jobs of {job}" for job in JOBS_S) + " |",
        "| ---: |" + " ---: |" * len(JOBS_S),
    ]
    for workers in WORKERS:
        row = [point for point in points if point.workers == workers]
        cells = [f"{point.working:.1%}, {point.jobs_per_s:.1f}/s" for point in row]
        lines.append(f"| {workers} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *breaking(costs), "", f"{found['cpu']}, {found['cores']} cores."])


def breaking(costs: Costs) -> list[str]:
    """How many processes fill each of the three lines: the smallest number breaks first."""
    lines = [
        "As many processes are the most for each:",
        "",
        "| | " + " | ".join(f"jobs of {job}" for job in JOBS_S) + " |",
        "| --- |" + " ---: |" * len(JOBS_S),
    ]
    alive = [1.0 / costs.alive()] * len(JOBS_S)
    claims = [mean_s / costs.job_s for mean_s in JOBS_S.values()]
    messages = [mean_s / costs.message_s for mean_s in JOBS_S.values()]
    for what, most in (
        ("signs of life, looks and sweeps", alive),
        ("jobs through the table", claims),
        ("messages through the broker", messages),
    ):
        lines.append(f"| {what} | {' | '.join(f'{number:,.0f}' for number in most)} |")
    return lines


def draw(points: Sequence[Point], path: Path) -> None:
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    from benchmarks.plots import COLOURS, MARKERS, STYLE, save

    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
        for job, colour, marker in zip(JOBS_S, COLOURS, MARKERS, strict=False):
            row = [point for point in points if point.job == job]
            axes.plot(
                [point.workers for point in row],
                [100 * point.working for point in row],
                color=colour,
                marker=marker,
                label=f"jobs of {job}",
            )
        axes.set(xscale="log", ylim=(0, 105), xlabel="workers", ylabel="time spent working (%)")
        axes.legend(frameon=False, loc="lower left")
        save(figure, path)


if __name__ == "__main__":
    main()
