"""Worker processes that are killed, stopped and started again, and the books that are compared."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeVar

from stretto.bootstrap.database import build_database
from stretto.bootstrap.queueing import build_queue
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import JobNotInState
from stretto.contexts.core.events import DomainEvent, JobStarted
from stretto.contexts.core.identifiers import JobId, Language
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.database.adapters.sqlite import SqliteDatabase
from stretto.contexts.queue.model import FileWork, Job, Wanted
from stretto.contexts.queue.service import QueueService
from tests.chaos.worker import SECONDS
from tests.conftest import Place
from tests.servers import Database, settings_of

HOUSE = Path(__file__).parents[2]
ENGLISH = TranscriptionOptions(language=Language("en"))
START_S = 30.0
Happened = TypeVar("Happened", bound=DomainEvent)

__all__ = ["SECONDS", "Fleet", "fleet", "until"]


@dataclass
class Fleet:
    """``count`` workers over one database; the ledger is a file that only their engines write."""

    place: Place
    ledger: Path
    database: Database
    queue: QueueService
    count: int = 2
    concurrency: int = 2
    chunk_s: float = 0.02
    lease_s: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    said: Path | None = None
    """Where the workers write what they say, if it is to be read."""

    crew: list[subprocess.Popen[str]] = field(default_factory=list)
    frozen: list[subprocess.Popen[str]] = field(default_factory=list)
    deaths: int = 0

    def submit(self, *names: str) -> list[JobId]:
        works = [FileWork(path=f"/nowhere/{name}.wav", options=ENGLISH) for name in names]
        return [self.queue.submit(work).id for work in works]

    def cure(self) -> None:
        """The poisoned chunk harms none of the workers that are started from now on."""
        self.ledger.with_name("cured").touch()
        self.dismiss()
        self.crew.clear()

    def start(self) -> None:
        """Bring the crew to its strength, and wait until the new ones are at work."""
        new = []
        for worker in [one for one in self.crew if one.poll() is not None]:
            self.crew.remove(worker)
            _bury(worker)
            self.deaths += worker.returncode < 0
        while len(self.crew) < self.count:
            worker = self._started()
            new.append(worker)
            self.crew.append(worker)
        for worker in new:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"

    def kill(self, dice: random.Random) -> None:
        """One of them, in the middle of whatever it does."""
        alive = [one for one in self.crew if one.poll() is None]
        if alive:
            victim = dice.choice(alive)
            victim.kill()
            victim.wait()

    def stop_one(self) -> subprocess.Popen[str]:
        """Freezes the first of the crew, and takes it out of the crew until it is woken.

        Never in the middle of a write: nobody but the system could take its lock from a process
        that is stopped there, and what is tried here is what others do with its work.
        """
        frozen = self.crew.pop(0)
        self.frozen.append(frozen)
        for _ in range(100):
            frozen.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, frozen.pid, os.WSTOPPED | os.WNOWAIT)
            if not _is_being_written(self.database):
                return frozen
            frozen.send_signal(signal.SIGCONT)
            time.sleep(0.005)
        raise AssertionError("the worker was in the middle of a write each time")

    def wake(self, frozen: subprocess.Popen[str]) -> None:
        self.frozen.remove(frozen)
        self.crew.append(frozen)
        frozen.send_signal(signal.SIGCONT)

    def recovery_s(self, victim: subprocess.Popen[str]) -> list[float]:
        """Kills one, and waits: how long after that each of its jobs was begun by another. One that
        was just being cancelled is over then."""
        until(  # the youngest has perhaps just begun
            lambda: victim.pid in {one.pid for one in self.queue.nodes()},
            seconds=START_S,
            meanwhile=lambda: None,
        )
        (node,) = [one for one in self.queue.nodes() if one.pid == victim.pid]
        orphans = self.queue.listed.held_by(node.id)
        victim.kill()
        victim.wait()
        died = time.time()
        until(
            lambda: all(
                now.is_over or now.fence > job.fence
                for job in orphans
                for now in [self.queue.get(job.id)]
            ),
            seconds=90,
            meanwhile=lambda: None,
        )
        started = [
            event
            for job in orphans
            for event in self.heard(job.id, JobStarted)
            if event.attempt == job.fence + 1
        ]
        return [event.at.unix_s - died for event in started]

    def heard(self, job_id: JobId, kind: type[Happened]) -> list[Happened]:
        """What of this kind happened to a job."""
        return [one.event for one in self.queue.heard(job_id) if isinstance(one.event, kind)]

    def jobs(self) -> dict[JobId, Job]:
        found: dict[JobId, Job] = {}
        page = self.queue.page(Wanted(limit=1000))
        while page:
            found |= {job.id: job for job in page}
            page = self.queue.page(Wanted(limit=1000, after=page[-1]))
        return found

    def retry_the_dead(self) -> set[JobId]:
        """What too many deaths befell is tried once more, as people do who know that nothing is
        wrong with it. Returns the files that parts of were dead: if they were completed without
        them, they become whole by a second transcript."""
        files = set()
        for job in self.queue.page(Wanted(limit=1000, status=JobStatus.FAILED)):
            with suppress(JobNotInState):  # its file was cancelled, or is just put together
                self.queue.retry(job.id)
                if job.parent is not None:
                    files.add(job.parent)
        return files

    def count_of(self, status: JobStatus) -> int:
        return sum(job.status is status for job in self.jobs().values())

    def are_over(self) -> bool:
        return all(job.is_over for job in self.jobs().values())

    def calls(self) -> Counter[str]:
        """How often the engine was called for each chunk, by the ledger."""
        if not self.ledger.exists():
            return Counter()
        return Counter(line.split()[0] for line in self.ledger.read_text().splitlines())

    def callers(self) -> set[str]:
        """The processes whose engine was called."""
        return {line.split()[1] for line in self.ledger.read_text().splitlines()}

    def texts(self) -> dict[str, list[str]]:
        """What was kept of each file: all versions of the text."""
        from stretto.contexts.database.adapters.outbox import OutboxWriter
        from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore

        store = SqlTranscriptStore(self.database, outbox=OutboxWriter())
        found: dict[str, list[str]] = {}
        for transcript in store.recent(1_000_000):
            found.setdefault(transcript.file.removesuffix(".wav"), []).append(transcript.text)
        return found

    def events(self, kind: str) -> Counter[str]:
        """How often each job was said to have come to this."""
        with self.database.read() as connection:
            rows = connection.execute(
                "SELECT stream FROM outbox_event WHERE kind = :kind", {"kind": kind}
            ).fetchall()
        return Counter(str(stream) for (stream,) in rows)

    def dismiss(self) -> None:
        for worker in [*self.crew, *self.frozen]:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            _bury(worker)

    def _started(self) -> subprocess.Popen[str]:
        place = str(self.place) if isinstance(self.place, Path) else self.place.url
        numbers = (self.concurrency, self.chunk_s, self.lease_s)
        arguments = (place, str(self.ledger), *map(str, numbers))
        with self._told() as told:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker", *arguments],
                cwd=HOUSE,
                env={**os.environ, "PYTHONPATH": f"{HOUSE}:{HOUSE / 'src'}", **self.environment},
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
                start_new_session=True,  # Ctrl-C is for the test, which ends its workers itself
            )

    def _told(self) -> AbstractContextManager[IO[str] | None]:
        return nullcontext() if self.said is None else self.said.open("a")


def _is_being_written(database: Database) -> bool:
    if isinstance(database, SqliteDatabase):
        with closing(sqlite3.connect(database.path, timeout=0, isolation_level=None)) as own:
            try:
                own.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False
    with database.read() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE datname = current_database() AND mode = 'RowExclusiveLock'"
        ).fetchone()
    return row != (0,)


def _bury(worker: subprocess.Popen[str]) -> None:
    worker.wait()
    if worker.stdout is not None:
        worker.stdout.close()


@contextmanager
def fleet(place: Place, folder: Path, **given: object) -> Iterator[Fleet]:
    settings = settings_of(place, queue_lease_s=1)
    database = build_database(settings)
    queue = build_queue(settings, database, publish=EventBus().publish)
    fleet = Fleet(place, folder / "ledger", database, queue, **given)  # type: ignore[arg-type]
    try:
        yield fleet
    finally:
        fleet.dismiss()
        database.close()


def until(holds: Callable[[], bool], *, seconds: float, meanwhile: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to an end"
        meanwhile()
        time.sleep(0.05)
