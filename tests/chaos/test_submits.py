"""The server is killed in the middle of fifty submits with one key, and its clients try again:
there is one job, and all of them are told of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import BytesIO
from pathlib import Path

import httpx2
import pytest

from stretto.contexts.core.identifiers import JobId
from tests.chaos.fleet import Fleet, fleet
from tests.chaos.score import noted, remarked
from tests.chaos.terms import SEED, TIMES
from tests.conftest import Place
from tests.e2e.serving import LEAVES_S, Served, may_die

KILLS = 1 if TIMES < 10 else 10
pytestmark = pytest.mark.timeout(120 + 60 * KILLS)
CLIENTS, HESITANT = 50, 10
"""The hesitant ones have sent half of their recording when the server dies."""

RECORDING = b"RIFF" + bytes(40_000)
MANY = httpx2.Limits(max_connections=CLIENTS + 1, max_keepalive_connections=0)
"""Everybody has a connection of its own, which dies with the server."""


class Clients:
    """All of them hand the same recording in with the same key, and once more if the server died
    before it answered."""

    def __init__(self, key: str, server: Served, client: httpx2.Client) -> None:
        self.server = server
        self.told: list[JobId] = []
        self.tried_again = 0
        self.killed = threading.Event()
        self._is_back = threading.Event()
        self._key = key
        self._client = client
        self._lock = threading.Lock()

    @contextmanager
    def trying(self, *, dies_after: int | None = None) -> Iterator[None]:
        """All at once, until all of them are told. The server dies after so many answers."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            tries = [pool.submit(self._try, number, dies_after) for number in range(CLIENTS)]
            try:
                yield
            finally:
                self._is_back.set()
                self.killed.set()
            for one in tries:
                one.result()

    def kill(self) -> None:
        self.server.process.kill()
        self.server.process.wait()
        self.killed.set()

    def hand_in(self, recording: BytesIO) -> httpx2.Response:
        return self._client.post(
            f"{self.server.url}/api/jobs",
            files={"file": ("talk.wav", recording)},
            headers={"idempotency-key": self._key},
        )

    def _try(self, number: int, dies_after: int | None) -> None:
        hesitates = number < HESITANT
        recording = HalfAFile(RECORDING, self.killed) if hesitates else BytesIO(RECORDING)
        try:
            answer = self.hand_in(recording)
        except httpx2.TransportError:
            assert self._is_back.wait(LEAVES_S), "the server did not come back"
            answer = self.hand_in(BytesIO(RECORDING))
            with self._lock:
                self.tried_again += 1
        assert answer.status_code == 202, answer.text
        with self._lock:
            self.told.append(JobId.parse(answer.json()["id"]))
            if len(self.told) == dies_after:
                self.kill()


class HalfAFile(BytesIO):
    """Its second half is not there before the event."""

    def __init__(self, content: bytes, whole: threading.Event) -> None:
        super().__init__(content)
        self._whole = whole

    def read(self, size: int | None = -1, /) -> bytes:
        half = len(RECORDING) // 2
        if self.tell() < half:
            return super().read(half - self.tell())
        assert self._whole.wait(LEAVES_S), "the server was not killed"
        return super().read(size)


def test_fifty_submits_with_one_key_are_one_job_though_the_server_is_killed_amid_them(
    place: Place, tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    with ExitStack() as started, fleet(place, tmp_path) as books:
        client = started.enter_context(httpx2.Client(timeout=LEAVES_S, limits=MANY))
        server = started.enter_context(serving(place, tmp_path))
        known: set[JobId] = set()
        for number in range(KILLS):
            clients = Clients(f"key {number}", server, client)
            answers = None if number % 2 == 0 else dice.randint(1, CLIENTS - HESITANT - 5)
            with clients.trying(dies_after=answers):
                if answers is None:
                    wait_for_another_job(books, known)
                    clients.kill()
                assert clients.killed.wait(LEAVES_S), "too few answers came"
                server = clients.server = started.enter_context(serving(place, tmp_path))
            (job,) = set(clients.told)
            noted(
                kills=1,
                lost=sum(one not in books.jobs() for one in clients.told),
                duplicate_effects=len(books.jobs()) - len(known) - 1,
            )
            remarked(
                f"submits, {kind_of(place)}: killed "
                + ("when the job was there" if answers is None else f"after {answers} answers")
                + f", {clients.tried_again} of {CLIENTS} tried again"
            )
            known.add(job)
            assert set(books.jobs()) == known
            assert books.events("JobQueued")[str(job)] == 1
            assert clients.hand_in(BytesIO(RECORDING)).json()["id"] == str(job)
            other = clients.hand_in(BytesIO(b"another recording"))
            assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")
            assert clients.tried_again >= HESITANT


def serving(place: Place, folder: Path) -> AbstractContextManager[Served]:
    """Without a worker: what is tried here is how jobs come to be."""
    home, url = (place, "") if isinstance(place, Path) else (folder / "home", place.url)
    return may_die(home, "--jobs", "0", STRETTO_DATABASE_URL=url)


def wait_for_another_job(books: Fleet, known: set[JobId]) -> None:
    """The kill is to come before its clients are told, so that nobody sleeps here."""
    end = time.monotonic() + LEAVES_S
    while set(books.jobs()) == known:
        assert time.monotonic() < end, "no job was made"


def kind_of(place: Place) -> str:
    return "SQLite" if isinstance(place, Path) else "PostgreSQL"
