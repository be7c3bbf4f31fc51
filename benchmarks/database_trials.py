"""Trials of the databases: many requests at once on few connections, and writers that die."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from benchmarks import library
from benchmarks.database_figures import Figure
from stretto.bootstrap import Database, build_database, build_pool
from stretto.contexts.core.errors import StorageBusy
from stretto.contexts.database.adapters.postgresql import PostgresDatabase
from stretto.contexts.processing.adapters.search import SqlTranscriptSearch
from stretto.settings import Settings

REQUESTS_AT_ONCE: Final = 200
POOL: Final = 20


def rush(name: str, settings: Settings, size: int) -> Figure:
    """Many requests at once on few connections: how they ended, and what was left behind."""
    if settings.database_address is None:
        database: Database = build_database(settings)
        pool = None
    else:
        small = replace(settings, database_pool_max=POOL, database_pool_overflow=0)
        pool = build_pool(small)
        database = PostgresDatabase(pool, place=name)

    words, _ = library.vocabulary()

    def ask(number: int) -> tuple[str, float]:
        began = time.perf_counter()
        try:
            SqlTranscriptSearch(database).search(words[number % 20], limit=20)
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
