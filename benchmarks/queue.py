"""Measures the queue: ``python -m benchmarks.queue``. ``--quick`` checks the harness.

Trivial jobs through enqueue, claim and finish, each on the disk before its next step: SQLite and
PostgreSQL with workers that are processes with some hands each, and huey's SqliteHuey with the same
processes and threads, with fsync. Then how soon an idle worker hears of a job.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks import machine
from benchmarks.database_places import started
from benchmarks.figures import Figure
from benchmarks.report import RESULTS
from stretto.bootstrap import build_database, upgrade
from stretto.bootstrap.queueing import build_queue, listening_bell
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.queue.dispatcher import Source
from stretto.contexts.queue.model import FileWork, Job, JobProgress
from stretto.contexts.queue.service import QueueService
from stretto.contexts.queue.transitions import completed
from stretto.settings import Settings

PATIENCE_S: Final = 600.0
SPAWN: Final = multiprocessing.get_context("spawn")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few jobs: checks the harness")
    parser.add_argument("--jobs", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--hands", type=int, default=8, help="threads of each process")
    given = parser.parse_args(arguments)
    jobs, workers, rounds = (60, 2, 1) if given.quick else (given.jobs, given.workers, given.rounds)
    figures = measured(jobs=jobs, workers=workers, hands=given.hands, rounds=rounds)
    for figure in figures:
        print(figure.line(), flush=True)
    target = Path(tempfile.gettempdir()) / "stretto-queue.jsonl"
    write(figures, target if given.quick else RESULTS.with_name("queue.jsonl"))


def measured(*, jobs: int, workers: int, hands: int, rounds: int) -> list[Figure]:
    """The medians of several rounds, in each of which all take their turn: the disk of a shared
    machine is not the same for long."""
    huey, sqlite, postgres, heard = Runs(), Runs(), Runs(), []
    for _ in range(rounds):
        huey.add(sqlite_huey(jobs, workers, hands))
        with place("sqlite") as settings:
            sqlite.add(throughput(settings, jobs, workers, hands))
        with place("postgresql") as settings:
            postgres.add(throughput(settings, jobs, workers, hands))
            heard.append(wake_up(settings))
    more = {"jobs": jobs, "workers": workers, "hands": hands}
    rate = partial(Figure, unit="jobs/s", at_least=True)
    beside = statistics.median(s.rate / h.rate for s, h in zip(sqlite.runs, huey.runs, strict=True))
    return [
        rate(what="huey, SqliteHuey, fsync", value=huey.rate, wanted=0.0, more=more | huey.more),
        rate(what="SQLite", value=sqlite.rate, wanted=500.0, more=sqlite.more),
        rate(what="SQLite beside huey", value=beside, unit="times", wanted=1.0, more={}),
        rate(what="PostgreSQL", value=postgres.rate, wanted=800.0, more=postgres.more),
        Figure(
            what="a job is heard of, PostgreSQL",
            value=statistics.median(heard),
            unit="ms",
            wanted=50.0,
            at_least=False,
            more={},
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """So many jobs a second through all steps, and through some; the disk took ``promise_ms`` to
    say that one page is written, before and after."""

    rate: float
    enqueued: float
    worked: float
    promise_ms: float


@dataclass(frozen=True, slots=True)
class Runs:
    runs: list[Run] = field(default_factory=list)

    def add(self, run: Run) -> None:
        self.runs.append(run)

    @property
    def rate(self) -> float:
        return statistics.median(run.rate for run in self.runs)

    @property
    def more(self) -> dict[str, str]:
        middle = sorted(self.runs, key=lambda run: run.rate)[len(self.runs) // 2]
        return {
            "enqueue/s": f"{middle.enqueued:.0f}",
            "claim+finish/s": f"{middle.worked:.0f}",
            "all rounds": " ".join(f"{run.rate:.0f}" for run in self.runs),
            "a promise of the disk": " ".join(f"{run.promise_ms:.2g}" for run in self.runs) + " ms",
        }


def promise_ms(times: int = 40) -> float:
    with tempfile.NamedTemporaryFile() as file:
        number = file.fileno()
        os.pwrite(number, bytes(4096), 0)
        os.fsync(number)
        began = time.perf_counter()
        for _ in range(times):
            os.pwrite(number, os.urandom(4096), 0)
            os.fdatasync(number)
        return 1000 * (time.perf_counter() - began) / times


@contextmanager
def place(kind: str) -> Generator[Settings, None, None]:
    """An empty database that keeps its word: what is committed is on the disk."""
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # for root, the server is another user
        settings = Settings(home=folder / "home")
        if kind == "postgresql":
            url = started(stack, folder / "data", stay=False)
            url = url.replace("postgresql://", "postgresql+psycopg://")
            settings = Settings(home=folder / "home", database_url=url)
        upgrade(settings)
        yield settings


@contextmanager
def queue_of(settings: Settings, **given: Any) -> Generator[QueueService, None, None]:
    database = build_database(settings)
    try:
        yield build_queue(settings, database, publish=EventBus().publish, **given)
    finally:
        database.close()


def throughput(settings: Settings, jobs: int, workers: int, hands: int) -> Run:
    """Jobs per second through enqueue by one process, claim and finish by ``workers``."""

    def enqueue() -> None:
        with queue_of(settings) as queue:
            queue.nodes()

            def submit(number: int) -> None:
                queue.submit(FileWork(path=f"/nowhere/{number}.wav"))

            by_hands(submit, range(jobs), hands)

    return timed(enqueue, partial(work, settings, hands), jobs, workers)


def by_hands(task: Callable[[int], object], numbers: Sequence[int], hands: int) -> list[Any]:
    """With so many threads."""
    with ThreadPoolExecutor(hands) as pool:
        return list(pool.map(task, numbers))


def timed(
    enqueue: Callable[[], None],
    worker: Callable[[Any, Any], None],
    jobs: int,
    workers: int,
) -> Run:
    """Both parts are counted; what the processes need to start is not."""
    before_ms = promise_ms()
    began = time.perf_counter()
    enqueue()
    enqueued_s = time.perf_counter() - began
    ready, done = SPAWN.Barrier(workers + 1), SPAWN.Queue()
    crew = [SPAWN.Process(target=worker, args=(ready, done)) for _ in range(workers)]
    for process in crew:
        process.start()
    ready.wait(PATIENCE_S)
    began = time.perf_counter()
    finished = sum(done.get(timeout=PATIENCE_S) for _ in crew)
    worked_s = time.perf_counter() - began
    for process in crew:
        process.join()
    if finished != jobs:
        raise AssertionError(f"{finished} of {jobs} jobs were done")
    return Run(
        rate=jobs / (enqueued_s + worked_s),
        enqueued=jobs / enqueued_s,
        worked=jobs / worked_s,
        promise_ms=(before_ms + promise_ms()) / 2,
    )


def work(settings: Settings, hands: int, ready: Any, done: Any) -> None:
    """As a worker does: claim, then end the job in the name of the claim."""
    with queue_of(settings) as queue:
        queue.nodes()
        source = Source()

        def hand(_: int) -> int:
            count = 0
            while (job := queue.dispatcher.take("w", source=source, suspects=True)) is not None:
                count += finish(queue, job)
            return count

        ready.wait(PATIENCE_S)
        done.put(sum(by_hands(hand, range(hands), hands)))


def finish(queue: QueueService, job: Job) -> bool:
    decide = partial(
        completed, fence=job.fence, transcript_id=TranscriptId.new(), progress=JobProgress()
    )
    return queue.dispatcher.change(job.id, decide) is not None


def sqlite_huey(jobs: int, workers: int, hands: int) -> Run:
    """The same with huey: a task is taken out of the table, and its result written."""
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as folder:
        path = f"{folder}/huey.db"

        def enqueue() -> None:
            by_hands(a_huey(path)[1], range(jobs), hands)

        return timed(enqueue, partial(work_with_huey, path, hands), jobs, workers)


def a_huey(path: str) -> tuple[Any, Any]:
    from huey import SqliteHuey

    trivial.__module__ = "benchmarks.queue"  # not "__main__": workers know it by that name
    huey = SqliteHuey("bench", filename=path, fsync=True, timeout=30)
    return huey, huey.task(name="trivial")(trivial)


def trivial(number: int) -> int:
    return number


def work_with_huey(path: str, hands: int, ready: Any, done: Any) -> None:
    huey, _ = a_huey(path)

    def hand(_: int) -> int:
        count = 0
        while (task := huey.dequeue()) is not None:
            huey.execute(task)
            count += 1
        return count

    ready.wait(PATIENCE_S)
    done.put(sum(by_hands(hand, range(hands), hands)))


def wake_up(settings: Settings, times: int = 9) -> float:
    """Milliseconds from a job's acceptance to its claim by an idle worker of another connection:
    the median. On SQLite nothing rings; a worker asks, at last every two seconds."""
    bell = listening_bell(settings)
    waits = []
    with queue_of(settings, bell=bell) as listener, queue_of(settings) as submitter:
        bell.wait(2.0)
        for number in range(times):
            submitter.submit(FileWork(path=f"/nowhere/{number}.wav"))
            began = time.perf_counter()
            bell.wait(5.0)
            job = listener.dispatcher.take("w", source=Source(), suspects=True)
            waits.append(1000 * (time.perf_counter() - began))
            if job is not None:
                finish(listener, job)
    bell.close()
    return statistics.median(waits)


def write(figures: Sequence[Figure], target: Path) -> None:
    document = {
        "machine": machine.describe(),
        "figures": [{**asdict(figure), "met": figure.met} for figure in figures],
    }
    with target.open("a", encoding="utf-8") as file:
        file.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
