"""Each kind of trouble on the way to each server that workers talk to: what was accepted is done,
once, and with the right words."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.database.model import ConnectionString
from stretto.contexts.processing.ports import Engine
from tests.chaos.fleet import ENGLISH, Fleet, fleet, until
from tests.chaos.links import TOXICS, Link, Toxic, tcp_link, unix_link
from tests.chaos.outcome import assert_every_file_was_done_once
from tests.chaos.score import note, noted
from tests.chaos.terms import ENOUGH_S, SEED, TIMES
from tests.chaos.test_outages import is_over
from tests.chaos.worker import a_service, remote_engine
from tests.fakes.backend import Backend, backend
from tests.fakes.result_cache import MemoryResultCache
from tests.fakes.transcript_store import MemoryTranscriptStore
from tests.servers import Server, copied, settings_of

pytestmark = pytest.mark.timeout(360 * TIMES)

BAD_S = 0.5 if TIMES < 10 else 2.0
"""Eight times that, and the seconds for which a service is left alone that was in trouble, are less
than half a minute: so long a job waits in any case."""

DOWN_S = 2.0 if TIMES < 10 else 20.0
IN_HAND = 8
"""Calls of two workers that a fault may have interrupted."""


@pytest.fixture
def bad(server: Server, postgres_template: str) -> Iterator[tuple[ConnectionString, Link, Server]]:
    """A PostgreSQL behind a link."""
    if server.folder is None:
        pytest.skip("a server that is not ours is not behind a link")
    listens = f".s.PGSQL.{server.address.port or 5432}"
    with (
        server.database(template=postgres_template) as address,
        tempfile.TemporaryDirectory(prefix="stretto-link-") as folder,
        unix_link(f"{folder}/{listens}", f"{server.folder}/{listens}") as link,
    ):
        server.run(f'ALTER DATABASE "{address.database}" SET synchronous_commit = on')
        yield replace(address, options=(("host", folder),)), link, server


def go_through(crew: Fleet, link: Link) -> None:
    """All of the troubles, in an order by chance, with a rest after each."""
    toxics = list(TOXICS)
    random.Random(SEED).shuffle(toxics)
    for toxic in toxics:
        link.turn(toxic)
        time.sleep(BAD_S)
        link.turn(Toxic.NONE)
        time.sleep(0.2)
        crew.start()
        noted(faults=1)


def test_whatever_the_way_to_the_database_is_like_nothing_is_lost(
    bad: tuple[ConnectionString, Link, Server], tmp_path: Path
) -> None:
    place, link, _ = bad
    names = [f"talk-{number}" for number in range(10 * min(TIMES, 10))]
    with fleet(place, tmp_path, chunk_s=0.2, lease_s=3) as crew:
        crew.submit(*names)
        crew.start()
        go_through(crew, link)
        until(lambda: is_over(crew), seconds=ENOUGH_S, meanwhile=crew.start)
        chunks = assert_every_file_was_done_once(crew, names)
        note(crew, chunks=chunks, kills=0)
        assert sum(crew.calls().values()) <= chunks + IN_HAND * len(TOXICS)


@contextmanager
def remote_crew(home: Path, folder: Path, service: Backend, port: int) -> Iterator[RemoteCrew]:
    """Workers that reach the service at ``port``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRETTO_OPENAI_URL", f"https://localhost:{port}/v1")
        patch.setenv("STRETTO_REMOTE_CA_FILE", str(service.authority_file(folder)))
        engine = remote_engine(settings_of(home))
        with fleet(home, folder, lease_s=3) as crew:
            yield RemoteCrew(crew, engine, service)


@dataclass
class RemoteCrew:
    """A fleet whose books are kept by the service."""

    crew: Fleet
    engine: Engine
    service: Backend

    def undisturbed(self, names: list[str]) -> dict[str, str]:
        """What a run without trouble says about each recording."""
        alone = a_service(self.engine, MemoryResultCache(), MemoryTranscriptStore(), EventBus())
        return {name: alone.process_file(Path(f"{name}.wav"), ENGLISH).text for name in names}

    def wait(self, jobs: list[JobId], expected: dict[str, str], *, needed: int) -> None:
        """Until all of it is there, every word and nothing twice; nobody does anything for it."""
        until(self.crew.are_over, seconds=ENOUGH_S * 4, meanwhile=self.crew.start)
        calls = len(self.service.entries()) - needed
        note(self.crew, chunks=needed, calls=max(calls, needed), kills=0)
        assert {job.status for job in self.crew.jobs().values()} == {JobStatus.COMPLETED}
        assert self.crew.texts() == {name: [text] for name, text in expected.items()}
        assert self.crew.events("JobCompleted") == {str(job): 1 for job in jobs}


def test_whatever_the_way_to_the_service_is_like_each_word_comes_in_the_end(
    sqlite_template: Path, tmp_path: Path
) -> None:
    home = copied(sqlite_template, tmp_path / "home")
    names = [f"talk-{number}" for number in range(10 * min(TIMES, 10))]
    with (
        backend(tmp_path) as service,
        tcp_link(service.port) as (link, port),
        remote_crew(home, tmp_path, service, port) as remote,
    ):
        expected, crew = remote.undisturbed(names), remote.crew
        needed = len(service.entries())
        jobs = crew.submit(*names[: len(names) // 2])
        crew.start()
        jobs += crew.submit(*names[len(names) // 2 :])
        go_through(crew, link)
        remote.wait(jobs, expected, needed=needed)


def test_a_service_that_is_down_for_a_while_costs_no_word_of_short_or_long_recordings(
    sqlite_template: Path, tmp_path: Path
) -> None:
    home = copied(sqlite_template, tmp_path / "home")
    names = ["talk-1", "talk-2", "long-3"]
    with (
        backend(tmp_path) as service,
        remote_crew(home, tmp_path, service, service.port) as remote,
    ):
        expected, crew = remote.undisturbed(names), remote.crew
        needed = len(service.entries())
        service.go_down()
        jobs = crew.submit(*names)
        crew.start()
        until(lambda: bool(crew.events("JobRetried")), seconds=ENOUGH_S, meanwhile=crew.start)
        time.sleep(DOWN_S)
        service.come_up()
        noted(faults=1)
        remote.wait(jobs, expected, needed=needed)
