"""The machine under the workers fails: the database is killed and restarted, connections are cut,
clocks are wrong and are set. What was accepted is done, and done once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.contexts.core.errors import Unavailable
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.database.model import ConnectionString
from tests.chaos.clocks import VARIABLE, set_to
from tests.chaos.fleet import Fleet, fleet, until
from tests.chaos.outcome import IN_FLIGHT, assert_every_file_was_done_once
from tests.chaos.score import note, noted
from tests.chaos.terms import ENOUGH_S, SEED, TIMES
from tests.conftest import Place
from tests.servers import Server
from tests.serving import Site, site

pytestmark = pytest.mark.timeout(180 * TIMES)

JOBS = 8 * min(TIMES, 12)
RESTARTS, CUTS = (1, 2) if TIMES < 10 else (5, 20)
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = '{}' AND pid <> pg_backend_pid()"
)
LOST_CALLS = 2 * IN_FLIGHT
"""Of two workers, at each fault: what was being computed may be lost with the connection."""


@pytest.fixture
def lasting(server: Server, postgres_template: str) -> Iterator[ConnectionString]:
    """A PostgreSQL that keeps what it promised, unlike that of the other tests, which is faster."""
    if server.folder is None:
        pytest.skip("a server that is not ours is not restarted")
    with server.database(template=postgres_template) as address:
        server.run(f'ALTER DATABASE "{address.database}" SET synchronous_commit = on')
        yield address


class Visitors:
    """Ask a server for its jobs again and again, and remember what they were answered."""

    def __init__(self, found: Site) -> None:
        self.statuses: list[tuple[float, int]] = []
        self.unannounced: list[str] = []
        self._client = found.client()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.05):
            answer = self._client.get("/api/jobs")
            self.statuses.append((time.monotonic(), answer.status_code))
            announced = answer.status_code == 503 and "retry-after" in answer.headers
            if answer.status_code >= 500 and not announced:
                self.unannounced.append(answer.text)

    def longest_outage_s(self) -> float:
        """From the first answer that was none to the next that was one."""
        longest, since = 0.0, None
        for at, status in self.statuses:
            if status == 503:
                since = at if since is None else since
            elif since is not None:
                longest, since = max(longest, at - since), None
        return longest


def submitted(crew: Fleet, names: list[str]) -> list[JobId]:
    """A client that does not give up: one that heard nothing sends the same key again."""
    found: list[JobId] = []

    def accepted(name: str) -> bool:
        try:
            found.extend(crew.submit(name))
        except Unavailable:
            return False
        return True

    for name in names:
        until(lambda name=name: accepted(name), seconds=ENOUGH_S, meanwhile=lambda: None)
    return found


def test_a_database_that_dies_and_cuts_everybody_off_loses_nothing(
    lasting: ConnectionString, server: Server, tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    names = [f"talk-{number}" for number in range(JOBS)]
    faults = [server.restart] * RESTARTS + [lambda: server.run(CUT.format(lasting.database))] * CUTS
    dice.shuffle(faults)
    asked = site(tmp_path / "home", settings={"database_url": lasting.url})
    with fleet(lasting, tmp_path, chunk_s=0.2, lease_s=3) as crew, asked as found:
        crew.start()
        with Visitors(found) as visitors:
            jobs = submitted(crew, names[: len(names) // 2])
            for fault in faults:
                time.sleep(dice.uniform(0.2, 1.0))
                fault()
            jobs += submitted(crew, names[len(names) // 2 :])
            until(lambda: is_over(crew), seconds=ENOUGH_S, meanwhile=crew.start)
            crew.start()  # until everybody is back to answer
            until(lambda: visitors.statuses[-1][1] == 200, seconds=ENOUGH_S, meanwhile=lambda: None)
        chunks = assert_every_file_was_done_once(crew, names)
        assert len(set(jobs)) == len(names)
        note(crew, chunks=chunks, kills=0)
        print(f"{len(faults)} faults; nothing was answered for {visitors.longest_outage_s():.1f} s")
        noted(faults=len(faults))
        noted(unannounced_5xx=len(visitors.unannounced))
        assert sum(crew.calls().values()) <= chunks + len(faults) * LOST_CALLS
        assert crew.deaths == 0, "workers sit it out"
        assert visitors.unannounced == []


def is_over(crew: Fleet) -> bool:
    try:
        return crew.are_over()
    except Unavailable:
        return False


def test_workers_with_wrong_clocks_do_each_file_once(place: Place, tmp_path: Path) -> None:
    """One is two hours ahead, one two hours behind; the first is set by an hour, twice."""
    names = [f"talk-{number}" for number in range(6 * min(TIMES, 10))]
    clocks = [tmp_path / name for name in ("ahead", "behind")]
    for clock, seconds in zip(clocks, (7200, -7200), strict=True):
        set_to(clock, seconds)
    with fleet(place, tmp_path, count=0, chunk_s=0.1, lease_s=15) as crew:
        jobs = crew.submit(*names)
        for clock in clocks:
            crew.environment[VARIABLE] = str(clock)
            crew.count += 1
            crew.start()
        for seconds in (10_800, 3_600):
            time.sleep(0.5)
            set_to(clocks[0], seconds)
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        chunks = assert_every_file_was_done_once(crew, names)
        calls = sum(crew.calls().values())
        noted(faults=4, accepted=len(jobs), completed=len(jobs), chunks=chunks)
        noted(calls_twice=calls - chunks)
        assert calls == chunks, "nobody took anything away from somebody who was alive"
        assert all(job.attempts == 1 for job in crew.jobs().values())
