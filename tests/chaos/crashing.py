"""One job from the hand-in to the transcript, in a process that ends where it is told to.

``python -m tests.chaos.crashing`` forks one such process for each line of its standard input,
``PLACE FOLDER NTH``, and answers with a line: the signal it died of, or 0. The process kills itself
at the NTH statement (0: never), and writes into FOLDER what was promised to others: which job was
accepted, and that it is completed.

With a fourth word it gives an empty database its tables instead: with ``revisions`` one after the
other, with ``newest`` all at once, as a new SQLite file gets them.

Whoever watches it with strace has the processes die elsewhere. One that has not come to its end
after a minute is killed, as those do who look after real ones.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import sqlalchemy as sa

from stretto.bootstrap.caching import build_caching
from stretto.bootstrap.database import (
    Database,
    build_engine_of_database,
    build_guard,
    build_pool,
    place_of,
)
from stretto.bootstrap.queueing import FileWorkshop, build_queue, build_worker
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import Unavailable
from stretto.contexts.core.events import JobCompleted
from stretto.contexts.core.identifiers import JobId, Language
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.database.adapters.postgresql import PostgresDatabase
from stretto.contexts.database.adapters.sqlite import SqliteDatabase
from stretto.contexts.database.model import ConnectionString
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.queue.model import FileWork
from stretto.contexts.queue.service import QueueService
from stretto.contexts.queue.worker import Worker
from stretto.migrations import newest, runner
from stretto.settings import Settings
from tests.chaos.worker import LedgerEngine, a_service
from tests.servers import settings_of

NAME = "talk-1"
LEASE_S = 5
"""Long enough for a process on a busy machine, and over when the next one comes."""

LONGEST_S = 60
ENGLISH = TranscriptionOptions(language=Language("en"))
LEDGER, PROMISES, STATEMENTS = "ledger", "promises", "statements"


def database_of(settings: Settings, heard: Callable[[], object]) -> Database:
    """The database of the settings; ``heard`` is called at each of its statements."""
    guard = build_guard(settings, upgrading=True)
    if settings.database_address is not None:
        return PostgresDatabase(
            build_pool(settings),
            place=place_of(settings),
            prepare=guard,
            observe=lambda *_: heard(),
        )

    connection_class = heard_connection(heard)
    return SqliteDatabase(settings.database_path, prepare=guard, connection_class=connection_class)


def heard_connection(heard: Callable[[], object]) -> type[sqlite3.Connection]:
    class Heard(sqlite3.Connection):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.set_trace_callback(lambda _: heard())

    return Heard


class Death:
    """At the NTH statement."""

    def __init__(self, nth: int) -> None:
        self._nth = nth
        self._numbers = count(1)

    def __call__(self, *_: object) -> None:
        if next(self._numbers) == self._nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(self, folder: Path) -> None:
        """How many there were, and one more."""
        (folder / STATEMENTS).write_text(str(next(self._numbers)))


def journey(place: str, folder: Path, nth: int = 0) -> None:
    """Submit, claim, work, complete; what stands in the database already is gone on with."""
    heard = Death(nth)
    promises = os.open(folder / PROMISES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    settings = settings_of(where_is(place), queue_lease_s=LEASE_S)
    database, events = database_of(settings, heard), EventBus()
    service = build_queue(settings, database, publish=events.publish)
    job = service.submit(FileWork(path=f"/nowhere/{NAME}.wav", options=ENGLISH), key="the one")
    os.write(promises, f"accepted {job.id}\n".encode())
    processing = a_service(
        LedgerEngine(folder / LEDGER, 0.0),
        build_caching(settings, database, events).cache,
        SqlTranscriptStore(database, outbox=OutboxWriter()),
        events,
    )
    workshop = FileWorkshop(
        settings, processing, with_engine=lambda _: processing, divides=True, patient=True
    )
    worker = build_worker(settings, database, service, workshop, concurrency=1, stuck=Event().set)

    def completed(_: JobCompleted) -> None:
        os.write(promises, f"completed {job.id}\n".encode())
        worker.leave()

    events.subscribe(JobCompleted, completed)
    Thread(target=leave_after, args=(service, job.id, worker), daemon=True).start()
    worker.run()
    heard.tell(folder)


def leave_after(service: QueueService, job: JobId, worker: Worker) -> None:
    """Nobody is told of a job that was over already, nor of one whose end the disk first refused
    and then had all the same."""
    while not is_over(service, job):
        time.sleep(1.0)
    worker.leave()


def is_over(service: QueueService, job: JobId) -> bool:
    try:
        return service.get(job).is_over
    except Unavailable:
        return False


def revisions(place: str, folder: Path, nth: int) -> None:
    """From the first to the last."""
    heard = Death(nth)
    sa.event.listen(sa.Engine, "before_cursor_execute", heard)
    engine = build_engine_of_database(settings_of(where_is(place)))
    runner.upgrade(engine)
    heard.tell(folder)


def newest_tables(place: str, folder: Path, nth: int) -> None:
    heard = Death(nth)
    file = settings_of(Path(place)).database_path
    with closing(
        sqlite3.connect(file, isolation_level=None, factory=heard_connection(heard))
    ) as connection:
        newest.create(connection)
    heard.tell(folder)


def where_is(place: str) -> Path | ConnectionString:
    return ConnectionString.parse(place) if "://" in place else Path(place)


DEEDS = {"": journey, "revisions": revisions, "newest": newest_tables}


def answer(line: str) -> int:
    """The signal that the process for this line died of."""
    place, folder, nth, *what = line.split()
    deed = DEEDS["".join(what)]
    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(LONGEST_S)
        try:
            deed(place, Path(folder), int(nth))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)


if __name__ == "__main__":
    faulthandler.enable()  # nobody but the tests is to kill it
    for asked in sys.stdin:
        print(answer(asked), flush=True)
