"""Measures the fleet: ``python -m benchmarks.fleet``. ``--quick`` checks the harness.

How soon an idle worker begins a job: one that listens to PostgreSQL, and Celery workers behind
Redis and RabbitMQ on the same database. Then one file of eight chunks by one Celery worker and by
two, with an engine that takes two seconds a chunk, as a service does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.caches import redis_server
from tests.chaos.celery_fleet import celery_fleet
from tests.chaos.fleet import Fleet, fleet, until
from tests.conftest import Place
from tests.rabbitmq import PROGRAM, rabbit_server

from benchmarks.figures import Figure
from benchmarks.queue import place, write
from benchmarks.report import RESULTS
from stretto.contexts.core.events import JobStarted
from stretto.contexts.core.identifiers import JobId

MORE_MS: Final = 15.0
SHARE: Final = 0.6
SERVICE_S: Final = 2.0
PAUSE_S: Final = 0.3
"""Between two jobs, so that the worker is idle again."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few jobs: checks the harness")
    given = parser.parse_args(arguments)
    times, service_s = (3, 0.2) if given.quick else (51, SERVICE_S)
    figures = []
    with place("postgresql") as settings, brokers() as urls:
        address = settings.database_address
        assert address is not None
        for figure in measured(address, urls, times=times, service_s=service_s):
            print(figure.line(), flush=True)
            figures.append(figure)
    target = Path(tempfile.gettempdir()) / "stretto-fleet.jsonl"
    write(figures, target if given.quick else RESULTS.with_name("fleet.jsonl"))


@contextmanager
def brokers() -> Generator[dict[str, str], None, None]:
    """The addresses of those that this machine has, by name."""
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as name, ExitStack() as stack:
        urls = {"Redis": stack.enter_context(redis_server(Path(name) / "redis")).url}
        if PROGRAM.exists():
            urls["RabbitMQ"] = stack.enter_context(rabbit_server(Path(name) / "rabbit")).url
        yield urls


def measured(
    where: Place, urls: dict[str, str], *, times: int, service_s: float
) -> Generator[Figure, None, None]:
    with folder() as here, fleet(where, here, count=1, chunk_s=0.0, lease_s=30) as crew:
        listening = wake_up_ms(crew, times, first=0)
    yield figure("a listening worker begins", listening, 50.0, "ms", {"jobs": times})
    for number, (name, url) in enumerate(urls.items(), start=1):
        with folder() as here, celery_fleet(where, here, url, chunk_s=0.0, lease_s=30) as crew:
            called = wake_up_ms(crew, times, first=1000 * number)
        more = {"than listening": f"{called - listening:+.1f} ms"}
        yield figure(f"Celery begins, {name}", called, listening + MORE_MS, "ms", more)
    one_s = eight_chunks_s(where, urls["Redis"], "eight-2", workers=1, service_s=service_s)
    two_s = eight_chunks_s(where, urls["Redis"], "eight-3", workers=2, service_s=service_s)
    more = {"one": f"{one_s:.1f} s", "two": f"{two_s:.1f} s"}
    yield figure("two Celery workers beside one", two_s / one_s, SHARE, "times", more)


def figure(
    what: str, value: float, at_most: float, unit: str, more: Mapping[str, object]
) -> Figure:
    return Figure(
        what=what, value=value, unit=unit, wanted=at_most, at_least=False, more=dict(more)
    )


@contextmanager
def folder() -> Generator[Path, None, None]:
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as name:
        yield Path(name)


def wake_up_ms(crew: Fleet, times: int, *, first: int) -> float:
    """The median from before a job is submitted until it is begun, by the event's own time."""
    crew.start()
    waits = []
    for number in range(first, first + times):
        began = time.time()
        (job,) = crew.submit(f"talk-{number}")
        until(lambda job=job: crew.queue.get(job).is_over, seconds=60, meanwhile=lambda: None)  # type: ignore[misc]
        waits.append(1000 * (begun_at(crew, job) - began))
        time.sleep(PAUSE_S)
    return statistics.median(waits[1:])


def begun_at(crew: Fleet, job: JobId) -> float:
    heard = crew.queue.heard(job)
    return next(one.event.at.unix_s for one in heard if isinstance(one.event, JobStarted))


def eight_chunks_s(where: Place, url: str, name: str, *, workers: int, service_s: float) -> float:
    """Until one file of eight chunks is done by workers with one hand each."""
    given = {"count": workers, "concurrency": 1, "chunk_s": service_s, "lease_s": 30}
    with folder() as here, celery_fleet(where, here, url, **given) as crew:
        crew.start()
        began = time.perf_counter()
        (job,) = crew.submit(name)
        until(lambda: crew.queue.get(job).is_over, seconds=300, meanwhile=lambda: None)
        took_s = time.perf_counter() - began
        if (calls := sum(crew.calls().values())) != 8:
            raise AssertionError(f"{name} has {calls} chunks, not 8")
        return took_s


if __name__ == "__main__":
    main()
