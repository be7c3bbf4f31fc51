"""The process dies at one point after the other on the way of a job from the hand-in to its
transcript: what was promised holds, the database is whole, and the next one brings it to its end.

Some statements are tried in the ordinary run; ``make chaos`` tries all of them on both databases,
and each write and sync that SQLite makes of them, with strace.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
import sqlalchemy as sa

from stretto.bootstrap.database import build_engine_of_database
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.database.adapters.sqlite import SqliteDatabase
from tests.chaos import disks
from tests.chaos.crashing import NAME, PROMISES, STATEMENTS
from tests.chaos.disks import STRACE, needs_bad_disks
from tests.chaos.fleet import HOUSE, Fleet, fleet
from tests.chaos.outcome import IN_FLIGHT, expected_text
from tests.chaos.score import noted
from tests.chaos.terms import SEED, TIMES
from tests.conftest import Place
from tests.servers import Server, copied, settings_of

pytestmark = pytest.mark.timeout(180 * TIMES)
POINTS = {"sqlite": 12, "postgresql": 6}
"""So many of the statements are tried in the ordinary run."""

WRITES = ("pwrite64", "fsync", "fdatasync", "ftruncate", "unlink", "unlinkat", "rename")
CRASHES = 180
"""So many of them are tried, by chance; 150 are wanted."""
FAILURES = (("fdatasync", "EIO"), ("pwrite64", "ENOSPC"), ("pwrite64", "EIO"))
TABLES = 20
"""There are more, and each takes a statement."""

DEATHS = {signal.SIGKILL, signal.SIGALRM}
UNSEEN = ("-o", "/dev/null")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("STRETTO_")},
    "PYTHONPATH": f"{HOUSE}:{HOUSE / 'src'}",
    "OPENBLAS_NUM_THREADS": "1",
}
PROGRAM = [sys.executable, "-m", "tests.chaos.crashing"]


@dataclass(frozen=True)
class Scene:
    """A database of its own, and what a process that died there had promised."""

    place: Place
    folder: Path

    @property
    def line(self) -> str:
        place = str(self.place) if isinstance(self.place, Path) else self.place.url
        return f"{place} {self.folder}"

    def promises(self) -> dict[str, str]:
        """The job by what was said of it."""
        path = self.folder / PROMISES
        lines = path.read_text().splitlines() if path.exists() else []
        return dict(line.split() for line in lines)


class Makes(Protocol):
    """A scene by its name, with a database that is empty, or has all of its ``tables``."""

    def __call__(self, name: str, *, tables: bool = True) -> Scene: ...


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scenes(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Makes]:
    with open_scenes(kind, request, tmp_path) as made:
        yield made


@contextmanager
def open_scenes(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Generator[Makes, None, None]:
    """Makes scenes by name, each with an empty database that has all of its tables."""
    from contextlib import ExitStack

    with ExitStack() as ends:

        def made(name: str, *, tables: bool = True) -> Scene:
            folder = tmp_path / name
            folder.mkdir()
            if kind == "sqlite":
                template: Path = request.getfixturevalue("sqlite_template")
                home = folder / "home"
                home.mkdir()
                return Scene(copied(template, home) if tables else home, folder)
            server: Server = request.getfixturevalue("server")
            name = request.getfixturevalue("postgres_template") if tables else "template1"
            return Scene(ends.enter_context(server.database(template=name)), folder)

        yield made


@dataclass(frozen=True)
class Run:
    """Has a process do something in a scene, ``what`` or a job, until its NTH statement; answers
    what it died of. All of them are children of one that waits for orders."""

    zygote: subprocess.Popen[str]

    def __call__(self, scene: Scene, nth: int = 0, what: str = "") -> int:
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        print(f"{scene.line} {nth} {what}", file=self.zygote.stdin, flush=True)
        return int(self.zygote.stdout.readline())

    def watched(self, scene: Scene, *options: str | Path) -> int:
        """The same with strace, which is told what to do at which of its system calls."""
        assert STRACE is not None
        # without --seccomp-bpf, under which strace 6.1 forgets the signals that it is to inject
        strace_so = [STRACE, "-f", "-e", f"trace={','.join(WRITES)}", *map(str, options)]
        with disks.watched(self.zygote.pid, strace_so):
            return self(scene)


@contextmanager
def processes() -> Generator[Run, None, None]:
    with subprocess.Popen(
        PROGRAM,
        cwd=HOUSE,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as zygote:
        assert zygote.stdin is not None
        try:
            yield Run(zygote)
        finally:
            zygote.stdin.close()
            zygote.wait(60)


def assert_promises_hold(scene: Scene, crew: Fleet) -> None:
    """After the death, before anybody goes on."""
    if isinstance(crew.database, SqliteDatabase):
        with closing(sqlite3.connect(crew.database.path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    jobs, promised = crew.jobs(), scene.promises()
    assert len(jobs) <= 1
    submitted = crew.events("JobQueued")
    assert set(submitted) == {str(job) for job in jobs}, "no job without its event, or the reverse"
    if "accepted" in promised:
        assert JobId.parse(promised["accepted"]) in jobs
    if "completed" in promised:
        assert jobs[JobId.parse(promised["completed"])].status is JobStatus.COMPLETED
    for job in jobs.values():
        done = job.status is JobStatus.COMPLETED
        assert crew.events("JobCompleted") == ({str(job.id): 1} if done else {})
        assert len(crew.texts().get(NAME, [])) == done, (
            "the transcript and the word that it is there"
        )


def assert_it_was_done_once(scene: Scene, crew: Fleet) -> int:
    """After somebody else went on. Returns the calls that were made twice."""
    text, chunks = expected_text(NAME)
    (job,) = crew.jobs().values()
    assert job.status is JobStatus.COMPLETED
    assert crew.texts() == {NAME: [text]}
    assert crew.events("JobCompleted") == {str(job.id): 1}
    twice = sum(crew.calls().values()) - chunks
    assert 0 <= twice <= IN_FLIGHT
    if isinstance(crew.database, SqliteDatabase):
        assert {path.name.partition("-")[0] for path in crew.database.path.parent.iterdir()} <= {
            "stretto.sqlite3",
            "metrics",
        }
    return twice


def assert_all_is_well_after(died: list[Scene], run: Run, *, said: str) -> None:
    """Everybody has died by now: when the next ones come, the leases of the dead are over."""
    twice = 0
    for scene in died:
        with fleet(scene.place, scene.folder) as crew:
            assert_promises_hold(scene, crew)
    for scene in died:
        assert run(scene) == 0
        with fleet(scene.place, scene.folder) as crew:
            twice += assert_it_was_done_once(scene, crew)
    chunks = expected_text(NAME)[1] * len(died)
    noted(accepted=len(died), completed=len(died), lost=0, duplicate_effects=0)
    noted(crash_points=len(died), chunks=chunks, calls_twice=twice)
    print(f"\n{len(died)} crash points ({said}), {twice} of {chunks} calls twice, seed {SEED}")


def test_a_job_survives_a_death_at_any_statement(
    kind: str, scenes: Makes, request: pytest.FixtureRequest
) -> None:
    with processes() as run:
        whole = scenes("whole")
        assert run(whole) == 0
        with fleet(whole.place, whole.folder) as crew:
            assert assert_it_was_done_once(whole, crew) == 0
        statements = int((whole.folder / STATEMENTS).read_text())
        every = range(1, int(statements * 0.9))
        chosen = random.Random(SEED).sample(every, min(len(every), POINTS[kind] * TIMES))
        points = [(scenes(f"at-{nth}"), nth) for nth in sorted(chosen)]
        died = [scene for scene, nth in points if run(scene, nth) == signal.SIGKILL]
        # how often a worker looks around depends on how long the machine takes for the rest
        assert len(died) >= 0.9 * len(points)
        assert_all_is_well_after(died, run, said=f"of {statements} statements, {kind}")


@pytest.mark.parametrize(
    ("kind", "deed"),
    [("sqlite", "newest"), ("sqlite", "revisions"), ("postgresql", "revisions")],
)
def test_the_tables_are_made_after_a_death_at_any_statement(
    kind: str, deed: str, scenes: Makes
) -> None:
    with processes() as run:
        whole = scenes("whole", tables=False)
        assert run(whole, 0, deed) == 0
        statements = int((whole.folder / STATEMENTS).read_text())
        assert statements > TABLES
        every = range(1, statements)
        chosen = random.Random(SEED).sample(every, min(len(every), 4 * TIMES))
        for nth in sorted(chosen):
            scene = scenes(f"at-{nth}", tables=False)
            assert run(scene, nth, deed) == signal.SIGKILL
            assert shape_of(scene.place) == set(), "all or nothing"
            assert run(scene, 0, deed) == 0
            made, asked_for = (shape_of(one.place) for one in (scene, whole))
            assert made == asked_for
        noted(crash_points=len(chosen))
        print(f"\n{len(chosen)} crash points (of {statements} statements, {deed}, {kind})")


def shape_of(place: Place) -> set[tuple[str, ...]]:
    """The tables and their columns."""
    engine = build_engine_of_database(settings_of(place))
    try:
        seen = sa.inspect(engine)
        return {
            (table, column["name"], str(column["type"]))
            for table in seen.get_table_names()
            for column in seen.get_columns(table)
        }
    finally:
        engine.dispose()


@pytest.mark.skipif(TIMES < 10, reason="takes minutes; make chaos runs it")
@needs_bad_disks
@pytest.mark.timeout(900)
def test_a_job_survives_a_death_at_any_write_or_sync_of_sqlite(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    with open_scenes("sqlite", request, tmp_path) as scenes, processes() as run:
        whole, log = scenes("whole"), tmp_path / "log"
        assert run.watched(whole, "-o", log) == 0
        counts = Counter(re.findall(r"^(\d+) +(\w+)\(", log.read_text(), re.MULTILINE))
        points = [
            (call, nth)
            for call in WRITES
            for nth in range(1, max((n for (_, c), n in counts.items() if c == call), default=0))
        ]
        died: list[Scene] = []
        for call, nth in dice.sample(points, len(points)):
            if len(died) == CRASHES:
                break
            scene = scenes(f"{call}-{nth}")
            ended = run.watched(scene, "-e", f"inject={call}:signal=KILL:when={nth}", *UNSEEN)
            if ended in DEATHS:  # what threads want at the same moment is written together: at
                died.append(scene)  # times that takes fewer writes, and the last are not come to
        assert_all_is_well_after(died, run, said=f"of {len(points)} writes and syncs of SQLite")
        assert len(died) >= min(150, len(points) // 2)


@needs_bad_disks
def test_a_job_survives_a_disk_that_fails_once(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A write or a sync that the disk refuses is told to whoever waits for it, or tried again by
    whoever may; nothing is done half."""
    dice = random.Random(SEED)
    with open_scenes("sqlite", request, tmp_path) as scenes, processes() as run:
        failed = []
        for number in range(3 if TIMES < 10 else 4 * TIMES):
            call, error = FAILURES[number % len(FAILURES)]
            scene, nth = scenes(f"{number}"), dice.randint(1, 30)
            ended = run.watched(scene, "-e", f"inject={call}:error={error}:when={nth}", *UNSEEN)
            assert ended in {0, -1}, f"{call} {error} {nth}: it did not come to an end"
            failed.append(scene)
        noted(faults=len(failed))
        assert_all_is_well_after(failed, run, said="where the disk failed once")
