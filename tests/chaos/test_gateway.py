"""Two hundred long recordings through the gateway, to a service that keeps a ledger, while workers
are killed: nothing is lost, nothing is made twice, and hardly anything is paid for twice."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.contexts.core.bus import EventBus
from tests.chaos.fleet import ENGLISH, fleet, until
from tests.chaos.outcome import assert_texts
from tests.chaos.score import note
from tests.chaos.terms import ENOUGH_S, SEED, TIMES
from tests.chaos.worker import a_service, remote_engine
from tests.conftest import Place
from tests.fakes.backend import Backend, backend
from tests.fakes.backend_script import Reply
from tests.fakes.result_cache import MemoryResultCache
from tests.fakes.transcript_store import MemoryTranscriptStore
from tests.servers import settings_of

pytestmark = pytest.mark.timeout(180 * TIMES)

JOBS = int(os.environ.get("STRETTO_CHAOS_JOBS", "200" if TIMES >= 10 else "4"))
"""Fewer, where two hundred take too long."""

KILLS = 2 if JOBS < 8 else JOBS // 4
CALL_S = 0.1
PAID_TWICE_AT_MOST = 0.1
"""Of the calls, in the long run."""

ON_THEIR_WAY = 8
"""Calls of one worker: two hands, each with four chunks."""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    folder = tmp_path / "service"
    folder.mkdir()
    with backend(folder) as running:
        monkeypatch.setenv("STRETTO_OPENAI_URL", running.url)
        monkeypatch.setenv("STRETTO_REMOTE_CA_FILE", str(running.authority_file(folder)))
        yield running


def undisturbed(place: Place, names: list[str]) -> dict[str, str]:
    """What a run without trouble says about each recording."""
    engine = remote_engine(settings_of(place))
    alone = a_service(engine, MemoryResultCache(), MemoryTranscriptStore(), EventBus())
    return {name: alone.process_file(Path(f"{name}.wav"), ENGLISH).text for name in names}


def test_every_recording_is_done_and_hardly_a_call_is_paid_for_twice(
    place: Place, service: Backend, tmp_path: Path
) -> None:
    dice, kills = random.Random(SEED), 0
    names = [f"long-{number}" for number in range(JOBS)]
    expected = undisturbed(place, names)
    needed = len(service.entries())
    service.script = lambda _: Reply(takes_s=CALL_S)
    with fleet(place, tmp_path, count=3, concurrency=2, lease_s=3) as crew:
        crew.submit(*names)
        crew.start()
        while kills < KILLS and not crew.are_over():
            time.sleep(dice.uniform(0.5, 1.5))
            crew.kill(dice)
            kills += 1
            crew.start()
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        mended = crew.retry_the_dead()  # three kills in a row may hit the same part
        until(crew.are_over, seconds=ENOUGH_S, meanwhile=crew.start)
        calls = len(service.entries()) - needed
        note(crew, chunks=needed, kills=kills, calls=calls, mended=mended)
        assert_texts(crew, expected, mended=mended)
        most = kills * ON_THEIR_WAY
        assert calls <= needed + (min(most, needed * PAID_TWICE_AT_MOST) if KILLS > 2 else most)
