"""Mixed work and random faults for as long as somebody likes: nothing is lost and nothing is made
twice, and the one worker that lives through all of it does not grow.

``make soak MINUTES=120`` runs it, half of the time on each database. Ctrl-C ends it early: what is
open is done, and all that was done until then is looked at and stands on the card.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from stretto.contexts.core.errors import Unavailable
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import Job
from tests.chaos.fleet import Fleet, fleet, until
from tests.chaos.outcome import assert_every_file_was_done_once, expected_text
from tests.chaos.score import note, noted, remarked
from tests.chaos.storm import WARM, Elder, Storm
from tests.chaos.terms import SEED
from tests.conftest import Place
from tests.servers import Server

MINUTES = float(os.environ.get("STRETTO_CHAOS_MINUTES", "0")) / 2
pytestmark = [
    pytest.mark.skipif(MINUTES == 0, reason="takes as long as it is told to; make soak runs it"),
    pytest.mark.timeout(60 * MINUTES * 1.5 + 900),
]
MOST_OPEN = 12
SAMPLE_S = 5.0
TELL_S = 60.0
SETTLED_S = 240.0
LONG_ENOUGH_S = 600.0
"""Before that a worker still takes what it needs, and nothing can be said about its growth."""

MOST_GROWTH_KB = 16_384
MOST_MORE_FILES = 8
MOST_KB_PER_JOB = 200


@dataclass
class Stop:
    """Whether somebody has had enough. The second time nothing is waited for."""

    asked: bool = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        before = signal.signal(signal.SIGINT, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _hear(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        tell("told to stop: what is open is done first, and then comes the card")


stop = Stop()


@dataclass
class Work:
    """What was handed in. Only what is still open is asked for: hours of jobs are thousands."""

    crew: Fleet
    dice: random.Random
    accepted: int = 0
    open: dict[JobId, str] = field(default_factory=dict)
    mended: set[JobId] = field(default_factory=set)
    """Completed without a part that too many deaths had befallen, and whole since."""

    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def fill(self) -> None:
        """New work, as long as there is not too much of it."""
        with suppress(Unavailable):
            self.look()
            while len(self.open) < MOST_OPEN:
                name = f"{'long' if self.dice.random() < 0.1 else 'talk'}-{next(self._numbers)}"
                (job,) = self.crew.submit(name)
                self.open[job] = name
                self.accepted += 1
                expected_text(name)  # not all of them at the end

    def look(self) -> None:
        """What is over is known to be; what too many deaths befell is tried once more."""
        for parent in self.crew.retry_the_dead():
            self.mended.add(parent)
            self.open[parent] = "mended"
        for job in [self.crew.queue.get(job_id) for job_id in self.open]:
            if job.is_over and job.status is not JobStatus.FAILED:
                del self.open[job.id]

    def is_over(self) -> bool:
        with suppress(Unavailable):
            self.look()
        return not self.open


def tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def name_of(job: Job) -> str:
    return Path(job.work.path).stem


def test_hours_of_faults_lose_nothing_and_nobody_grows(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if stop.asked:
        pytest.skip("somebody has had enough")
    dice = random.Random(SEED)
    server: Server | None = None
    if not isinstance(place, Path):
        server = request.getfixturevalue("server")
        server.run(f'ALTER DATABASE "{place.database}" SET synchronous_commit = on')
    crowd = fleet(place, tmp_path, count=3, concurrency=2, chunk_s=0.1, lease_s=3)
    with stop.heard(), crowd as crew:
        crew.start()
        work = Work(crew, dice)
        elder = Elder(crew.crew[0].pid)
        storm = Storm(crew, dice, server, lambda: list(work.open))
        harm(work, storm, elder)
        until(work.is_over, seconds=SETTLED_S, meanwhile=crew.start)
        report(work, storm, elder)


def harm(work: Work, storm: Storm, elder: Elder) -> None:
    """Until the time is over, or somebody has had enough."""
    began = time.monotonic()
    sample_at, tell_at = began + SAMPLE_S, began + TELL_S
    elder.look()
    while not stop.asked and (now := time.monotonic()) < began + 60 * MINUTES:
        work.fill()
        time.sleep(storm.dice.uniform(0.5, 3.0))
        storm.strike()
        work.crew.start()
        if now >= sample_at:
            sample_at = now + SAMPLE_S
            elder.look()
        if now >= tell_at:
            tell_at = now + TELL_S
            minutes, took = (now - began) / 60, elder.samples[-1]
            tell(
                f"{minutes:.0f} of {MINUTES:.0f} min: {work.accepted} accepted,"
                f" {len(work.open)} open, {storm.done.total()} faults;"
                f" the spared one has {took.kilobytes} kB, {took.files} files,"
                f" {took.threads} threads; {disk_kb(work.crew, storm.server)} kB on the disk"
            )


def disk_kb(crew: Fleet, server: Server | None) -> int:
    """Of the database; its log, which is bounded by a setting, is not part of PostgreSQL's."""
    if isinstance(crew.place, Path):
        return sum(path.stat().st_size for path in crew.place.rglob("*") if path.is_file()) // 1024
    assert server is not None
    ((size,),) = server.run(f"SELECT pg_database_size('{crew.place.database}')")
    return int(size) // 1024


def report(work: Work, storm: Storm, elder: Elder) -> None:
    elder.look()  # two of them there are even when somebody had enough at once
    crew, growth = work.crew, elder.growth()
    jobs = crew.jobs().values()
    cancelled = [job for job in jobs if job.status is JobStatus.CANCELLED]
    names = [name_of(job) for job in jobs if job not in cancelled]
    per_job_kb = disk_kb(crew, storm.server) / len(jobs)
    kind = "SQLite" if isinstance(crew.place, Path) else "PostgreSQL"
    first, last = elder.samples[int(WARM * len(elder.samples))], elder.samples[-1]
    most_kb = max(took.kilobytes for took in elder.samples)
    remarked(
        f"{kind}: {dict(storm.done)}; {len(cancelled)} jobs cancelled",
        f"{kind}: the spared worker had {first.kilobytes} kB when it was warm,"
        f" {last.kilobytes} kB at the end, {most_kb} kB at most; in its second half"
        f" {growth.kilobytes:+d} kB, {growth.files:+d} files, {growth.threads:+d} threads",
        f"{kind}: {per_job_kb:.0f} kB on the disk for each job",
    )
    mended = {job.id for job in jobs if job.id in work.mended and job not in cancelled}
    chunks = assert_every_file_was_done_once(crew, names, mended=mended)
    note(crew, chunks=chunks, kills=storm.done["killed"], mended=mended)
    noted(faults=storm.done.total())
    assert len(jobs) == work.accepted
    assert crew.crew[0].pid == elder.pid, "it lived through it"
    if len(elder.samples) * SAMPLE_S >= LONG_ENOUGH_S:
        assert growth.kilobytes <= MOST_GROWTH_KB
        assert growth.files <= MOST_MORE_FILES
    assert per_job_kb <= MOST_KB_PER_JOB
