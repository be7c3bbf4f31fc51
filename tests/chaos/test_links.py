"""Each kind of trouble on the way to each server that workers talk to: what was accepted is done,
once, and with the right words."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.transcript import TranscriptStatus
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.database.model import ConnectionString
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from tests.chaos.fleet import ENGLISH, Fleet, fleet, until
from tests.chaos.links import TOXICS, Link, Toxic, tcp_link, unix_link
from tests.chaos.score import note, noted
from tests.chaos.test_death import (
    ENOUGH_S,
    SEED,
    TIMES,
    assert_every_file_was_done_once,
    pytestmark,
)
from tests.chaos.test_outages import is_over
from tests.chaos.worker import a_service, remote_engine
from tests.fakes.backend import backend
from tests.fakes.result_cache import MemoryResultCache
from tests.fakes.transcript_store import MemoryTranscriptStore
from tests.servers import Server, copied, settings_of

__all__ = ["pytestmark"]

BAD_S = 0.5 if TIMES < 10 else 3.0
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


def test_whatever_the_way_to_the_service_is_like_no_word_is_wrong_and_what_is_missing_is_named(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, folder = copied(sqlite_template, tmp_path / "home"), tmp_path / "service"
    folder.mkdir()
    names = [f"talk-{number}" for number in range(10 * min(TIMES, 10))]
    with backend(folder) as service, tcp_link(service.port) as (link, port):
        monkeypatch.setenv("STRETTO_OPENAI_URL", f"https://localhost:{port}/v1")
        monkeypatch.setenv("STRETTO_REMOTE_CA_FILE", str(service.authority_file(folder)))
        engine = remote_engine(settings_of(home))
        alone = a_service(engine, MemoryResultCache(), MemoryTranscriptStore(), EventBus())
        expected = {n: alone.process_file(Path(f"{n}.wav"), ENGLISH).text for n in names}
        needed = len(service.entries())
        with fleet(home, tmp_path, lease_s=3) as crew:
            crew.submit(*names[: len(names) // 2])
            crew.start()
            crew.submit(*names[len(names) // 2 :])
            go_through(crew, link)
            until(lambda: settled(crew), seconds=ENOUGH_S * 2, meanwhile=crew.start)
            calls = len(service.entries()) - needed
            note(crew, chunks=needed, calls=max(calls, needed), kills=0)
            assert_no_word_is_wrong(crew, expected)
            # what is missing is named; whoever wants it hands the recording in again
            link.turn(Toxic.NONE)
            until(
                lambda: settled(crew) and is_whole(crew, expected),
                seconds=ENOUGH_S * 2,
                meanwhile=crew.start,
            )
            assert_no_word_is_wrong(crew, expected)


def is_whole(crew: Fleet, expected: dict[str, str]) -> bool:
    """Whatever is not is handed in once more; workers leave a service alone for some seconds that
    was in trouble, so that once may be too early."""
    texts = crew.texts()
    missing = [name for name, text in expected.items() if text not in texts[name]]
    crew.submit(*missing)
    return not missing


def assert_no_word_is_wrong(crew: Fleet, expected: dict[str, str]) -> None:
    """A transcript is whole and right, or says that something is missing."""
    store = SqlTranscriptStore(crew.database, outbox=OutboxWriter())
    for transcript in store.recent(100_000):
        right = expected[transcript.file.removesuffix(".wav")]
        if transcript.status is TranscriptStatus.COMPLETE:
            assert transcript.text == right
        else:
            assert transcript.coverage.gaps
            assert all(segment.text in right for segment in transcript.segments)


def settled(crew: Fleet) -> bool:
    """What was given up because the service could not be reached is tried again, as people do."""
    for job in crew.jobs().values():
        if job.status is JobStatus.FAILED:
            crew.queue.retry(job.id)
    return all(job.status is JobStatus.COMPLETED for job in crew.jobs().values())
