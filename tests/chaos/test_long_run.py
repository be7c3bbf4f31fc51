"""Mixed work and random faults for as long as somebody likes: nothing is lost and nothing is made
twice, and the one worker that lives through all of it does not grow.

``make soak MINUTES=120`` runs it, half of the time on each database.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from stretto.contexts.core.errors import StrettoError, Unavailable
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import DeathCause, Job
from tests.chaos.fleet import Fleet, fleet, until
from tests.chaos.score import note, noted
from tests.chaos.test_death import SEED, assert_every_file_was_done_once
from tests.chaos.test_outages import CUT
from tests.conftest import Place
from tests.servers import Server

MINUTES = float(os.environ.get("STRETTO_CHAOS_MINUTES", "0")) / 2
pytestmark = [
    pytest.mark.skipif(MINUTES == 0, reason="takes as long as it is told to; make soak runs it"),
    pytest.mark.timeout(120 * MINUTES + 600),
]
MOST_OPEN = 12
SAMPLE_S = 5.0
WARM = 0.3
"""Of the run, in which caches fill and libraries are loaded: what is measured comes after it."""

MOST_GROWTH_KB = 16_384
MOST_MORE_FILES = 8
MOST_KB_PER_JOB = 200


@dataclass
class Elder:
    """The worker that no fault is meant for, and what it took of the machine, again and again."""

    pid: int
    samples: list[tuple[int, int]] = field(default_factory=list)

    def look(self) -> None:
        status = Path(f"/proc/{self.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        files = len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        self.samples.append((int(resident.split()[1]), files))

    def growth(self) -> tuple[int, int]:
        """Kilobytes and open files, from a third of the run to its end."""
        late = self.samples[int(WARM * len(self.samples)) :]
        half = len(late) // 2
        (before_kb, before), (after_kb, after) = (
            (max(kb for kb, _ in part), max(files for _, files in part))
            for part in (late[:half], late[half:])
        )
        return after_kb - before_kb, after - before


@dataclass
class Storm:
    """Does harm to a crew; each kind of fault by its name, as often as its weight says."""

    crew: Fleet
    dice: random.Random
    server: Server | None
    done: Counter[str] = field(default_factory=Counter)

    def strike(self) -> None:
        kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "killed": (10, self._kill),
            "told to leave": (5, self._dismiss),
            "frozen": (2, self._freeze),
            "cancelled": (4, self._cancel),
        }
        if self.server is not None:
            kinds["cut off"] = (3, self._cut)
            kinds["database killed"] = (1, self.server.restart)
        weights = [weight for weight, _ in kinds.values()]
        (name,) = self.dice.choices(list(kinds), weights)
        kinds[name][1]()
        self.done[name] += 1

    def _victim(self):
        return self.dice.choice(self.crew.crew[1:])

    def _kill(self) -> None:
        victim = self._victim()
        victim.kill()
        victim.wait()

    def _dismiss(self) -> None:
        victim = self._victim()
        victim.terminate()
        victim.wait(60)

    def _freeze(self) -> None:
        elder = self.crew.crew.pop(0)
        try:
            with suppress(AssertionError):  # it was in the middle of a write each time
                frozen = self.crew.stop_one()
                time.sleep(2.5 * self.crew.lease_s)
                self.crew.wake(frozen)
        finally:
            self.crew.crew.insert(0, elder)

    def _cancel(self) -> None:
        with suppress(StrettoError):
            open_jobs = [job for job in self.crew.jobs().values() if not job.is_over]
            if open_jobs:
                self.crew.queue.cancel(self.dice.choice(open_jobs).id)

    def _cut(self) -> None:
        assert self.server is not None
        assert not isinstance(self.crew.place, Path)
        self.server.run(CUT.format(self.crew.place.database))


def name_of(job: Job) -> str:
    return Path(job.work.path).stem


def fill(crew: Fleet, dice: random.Random, numbers: count[int]) -> None:
    """New work, as long as there is not too much of it; and once more what was given up."""
    with suppress(Unavailable):
        jobs = crew.jobs().values()
        for _ in range(MOST_OPEN - sum(not job.is_over for job in jobs)):
            kind = "long" if dice.random() < 0.1 else "talk"
            crew.submit(f"{kind}-{next(numbers)}")
        for job in jobs:
            if job.status is JobStatus.FAILED and job.cause is DeathCause.CRASHES:
                crew.queue.retry(job.id)


def test_hours_of_faults_lose_nothing_and_nobody_grows(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    dice, numbers = random.Random(SEED), count(1)
    server: Server | None = None
    if not isinstance(place, Path):
        server = request.getfixturevalue("server")
        server.run(f'ALTER DATABASE "{place.database}" SET synchronous_commit = on')
    with fleet(place, tmp_path, count=3, concurrency=2, chunk_s=0.1, lease_s=3) as crew:
        crew.start()
        elder, storm = Elder(crew.crew[0].pid), Storm(crew, dice, server)
        end, sample_at = time.monotonic() + 60 * MINUTES, 0.0
        while time.monotonic() < end:
            fill(crew, dice, numbers)
            time.sleep(dice.uniform(0.5, 3.0))
            storm.strike()
            crew.start()
            if time.monotonic() > sample_at:
                sample_at = time.monotonic() + SAMPLE_S
                elder.look()
        until(lambda: settled(crew), seconds=120, meanwhile=crew.start)
        report(crew, storm, elder)


def settled(crew: Fleet) -> bool:
    """All is over; what too many deaths befell is tried again first."""
    try:
        jobs = crew.jobs().values()
        for job in jobs:
            if job.status is JobStatus.FAILED:
                crew.queue.retry(job.id)
        return all(job.is_over and job.status is not JobStatus.FAILED for job in jobs)
    except Unavailable:
        return False


def report(crew: Fleet, storm: Storm, elder: Elder) -> None:
    jobs = crew.jobs().values()
    cancelled = [job for job in jobs if job.status is JobStatus.CANCELLED]
    names = [name_of(job) for job in jobs if job not in cancelled]
    chunks = assert_every_file_was_done_once(crew, names)
    note(crew, chunks=chunks, kills=storm.done["killed"])
    noted(faults=storm.done.total())
    kilobytes, files = elder.growth()
    print(f"faults {dict(storm.done)}; {len(cancelled)} jobs cancelled")
    print(f"the one that lived through it: {kilobytes:+d} kB, {files:+d} files in the second half")
    assert crew.crew[0].pid == elder.pid, "and it did"
    assert kilobytes <= MOST_GROWTH_KB
    assert files <= MOST_MORE_FILES
    if isinstance(crew.place, Path):
        size_kb = (
            sum(path.stat().st_size for path in crew.place.rglob("*") if path.is_file()) / 1024
        )
        print(f"{size_kb / len(jobs):.0f} kB on the disk for each job")
        assert size_kb <= MOST_KB_PER_JOB * len(jobs)
