"""When a worker ends itself, and when that would only cost what it has in its hands."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest

from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.queue.model import JobPriority
from tests.queues import Queue, memory_queue
from tests.unit.queue.jobs import a_submission
from tests.unit.queue.shop import SOON_S, Crew, until

STUCK_S = 1.5
TRIES = 10


class AwayDatabase:
    """A queue whose database nobody reaches any more, from a certain moment on."""

    def __init__(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tries = 0
        self.trouble = StorageUnavailable("The server is restarted.")
        monkeypatch.setattr(queue.jobs, "trouble", self.trouble)
        monkeypatch.setattr(queue.jobs, "soonest_s", self.soonest_s)

    def soonest_s(self, _: Sequence[JobPriority]) -> float | None:
        self.tries += 1
        raise self.trouble


@pytest.fixture
def crew() -> Iterator[Crew]:
    crew = Crew(memory_queue())
    yield crew
    crew.dismiss()


def test_a_worker_that_has_a_job_in_its_hands_waits_for_a_database_that_is_away(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    noticed: list[float] = []
    crew.queue.jobs.add(a_submission(file="held"))
    crew.hire(
        concurrency=2,
        stuck_s=STUCK_S,
        stuck=lambda: noticed.append(time.monotonic()),
        longest_pause_s=0.1,
    )
    assert crew.workshop.entered.acquire(timeout=SOON_S)
    with monkeypatch.context() as patch:
        away, since = AwayDatabase(crew.queue, patch), time.monotonic()
        until(lambda: time.monotonic() - since > 2 * STUCK_S and away.tries > TRIES)
        assert noticed == []
    crew.workshop.released.set()
    until(lambda: not crew.hired[0][0].running())
    with monkeypatch.context() as patch:
        AwayDatabase(crew.queue, patch)
        until(lambda: noticed != [])
