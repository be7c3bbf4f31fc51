"""Measures the databases: ``python -m benchmarks.database``. ``--quick`` checks the harness.

On a library of 1,000 and one of 100,000 transcripts (20 segments each): a page of the list, a
lookup by the hash of a file, and searches; then 200 requests at once on a pool of 20, and writers
that are killed in the middle of their work. The full run writes docs/benchmarks.md. ``--build
--keep FOLDER`` builds the libraries now, ``--keep FOLDER`` measures them later.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import SCRATCH, database_figures, database_report, library
from benchmarks.database_figures import Figure, Measured
from benchmarks.database_places import Places
from benchmarks.database_trials import killed, rush
from benchmarks.report import PAGE
from stretto.bootstrap import Database, build_database
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.library import SqlTranscriptLibrary
from stretto.contexts.processing.adapters.search import SqlTranscriptSearch
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.processing.library import Cursor, Wanted
from stretto.settings import Settings


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    if given.build and given.keep is None:
        parser().error("--build needs --keep: nothing would be left of it")
    sizes = [200, 1000] if given.quick else sorted(int(size) for size in given.sizes.split(","))
    calls, kills = (40, 3) if given.quick else (given.calls, given.kills)
    places = Places(keep=given.keep, url=given.url)
    conditions = database_figures.conditions()
    figures: list[Figure] = []
    for name in given.databases.split(","):
        for size in sizes:
            began = time.perf_counter()
            with places.built(name, size) as settings:
                took_s = time.perf_counter() - began
                print(f"{name:<11}{size:>8}  built in {took_s:.0f} s", flush=True)
                if given.build:
                    continue
                # Only the largest library is written into, and that after it was measured.
                killing = kills if size == sizes[-1] else 0
                for figure in measured(name, settings, size, calls=calls, kills=killing):
                    print(line(figure), flush=True)
                    figures.append(figure)
                if name == "postgresql":
                    conditions["versions"]["PostgreSQL"] = server_version(settings)
    if figures:
        _publish(Measured(conditions=conditions, figures=tuple(figures)), quick=given.quick)


def _publish(measured: Measured, *, quick: bool) -> None:
    path = SCRATCH / "database.jsonl" if quick else database_report.RESULTS
    path.parent.mkdir(parents=True, exist_ok=True)
    database_figures.write(measured, path)
    if not quick:
        database_report.write(measured, page=PAGE)
    print(f"written to {path}")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.database", description=__doc__)
    made.add_argument("--quick", action="store_true", help="small sizes: checks the harness")
    made.add_argument("--sizes", default="1000,100000", help="of the libraries")
    made.add_argument("--calls", type=int, default=200, help="of each query")
    made.add_argument("--kills", type=int, default=100, help="writers to kill")
    made.add_argument("--databases", default="sqlite,postgresql")
    made.add_argument("--url", default="", help="a PostgreSQL; default: one is started")
    made.add_argument("--keep", type=Path, help="a folder where the libraries stay, to go on with")
    made.add_argument("--build", action="store_true", help="only build the libraries into --keep")
    return made


def measured(
    name: str, settings: Settings, size: int, *, calls: int, kills: int
) -> Iterator[Figure]:
    """All figures of one library; the trials only where there is somebody to kill."""
    database = build_database(settings)
    for what, ask in queries(database, size).items():
        yield timed(name, size, what, ask, calls=calls)
    database.close()
    if kills:
        yield rush(name, settings, size)
        yield killed(name, settings, size, kills=kills)


def server_version(settings: Settings) -> str:
    database = build_database(settings)
    with database.read() as connection:
        found: Any = connection.execute("SHOW server_version").fetchone()
    database.close()
    return str(found[0]).split()[0]


def queries(database: Database, size: int) -> dict[str, Callable[[random.Random], object]]:
    """What is asked, with dice for whatever may differ from call to call."""
    shelf = SqlTranscriptLibrary(
        database, outbox=OutboxWriter(), clock=lambda: Timestamp(time.time())
    )
    store = SqlTranscriptStore(database, outbox=OutboxWriter())
    search = SqlTranscriptSearch(database)
    words, _ = library.vocabulary()

    def deep(dice: random.Random) -> object:
        return shelf.page(Wanted(after=Cursor(1.7e9 + dice.randrange(size), 2**40)))

    def common(dice: random.Random) -> str:
        return words[dice.randrange(20)]

    def rare(dice: random.Random) -> str:
        return words[dice.randrange(2000, library.VOCABULARY)]

    return {
        "list": lambda _: shelf.page(Wanted()),
        "list, deep": deep,
        "lookup by hash": lambda d: shelf.page(
            Wanted(file_hash=library.file_hash(d.randrange(size)))
        ),
        "recall": lambda d: store.find(library.request(d.randrange(size))),
        "detail": lambda d: store.get(TranscriptId.parse(f"{d.randrange(size) + 1:032x}")),
        "search, rare word": lambda d: search.search(rare(d), limit=20),
        "search, common word": lambda d: search.search(common(d), limit=20),
        "search, two words": lambda d: search.search(f"{common(d)} {rare(d)}", limit=20),
        "search, phrase": lambda d: search.search(f'"{common(d)} {common(d)}"', limit=20),
        "search, beginning": lambda d: search.search(f"{rare(d)[:5]}*", limit=20),
    }


def timed(
    name: str, size: int, what: str, ask: Callable[[random.Random], object], *, calls: int
) -> Figure:
    """All questions are asked twice: the first time much has to come from the disk."""
    first, again = (sorted(times(ask, seed=size, calls=calls)) for _ in range(2))
    at = min(calls - 1, round(0.95 * calls))
    return Figure(
        database=name,
        transcripts=size,
        what=what,
        count=calls,
        p50_ms=round(median(again), 3),
        p95_ms=round(again[at], 3),
        first_p95_ms=round(first[at], 3),
    )


def times(ask: Callable[[random.Random], object], *, seed: int, calls: int) -> Iterator[float]:
    """Milliseconds of each call; the same seed asks the same."""
    dice = random.Random(seed)
    for _ in range(calls):
        began = time.perf_counter()
        ask(dice)
        yield 1000 * (time.perf_counter() - began)


def line(figure: Figure) -> str:
    head = f"{figure.database:<11}{figure.transcripts:>8}  {figure.what:<22}"
    if figure.more is not None:
        return head + ", ".join(f"{name}: {value}" for name, value in figure.more.items())
    return head + (
        f"p50 {figure.p50_ms:8.2f} ms   p95 {figure.p95_ms:8.2f} ms"
        f"   p95 the first time {figure.first_p95_ms:8.2f} ms"
    )


if __name__ == "__main__":
    main()
