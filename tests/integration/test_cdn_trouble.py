"""Eight kinds of trouble on the wire to the store: nothing wrong is stored, nothing is lost, and
ten seconds after the trouble is over everything is where it belongs."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.external.adapters import cdn_s3
from stretto.contexts.external.adapters.cdn_s3 import PART_BYTES
from stretto.contexts.external.cdn_model import AssetKind, AssetState, Place
from tests.publishing import Publisher, a_draft
from tests.servers import Database, copied, opened
from tests.stores import S3Server, rclone_server
from tests.wire import Wire, wire_to

LARGE = random.Random(2).randbytes(PART_BYTES + 123_456)
RECOVERED_S = 30.0  # it takes two seconds, and ten are promised, on a machine that has them

HARMLESS = {
    "latency": {"latency_s": 0.005},
    "little bandwidth": {"bytes_per_s": 20_000_000.0},
    "slices": {"slices": 4_000},
    "slow close": {"slow_close_s": 1.0},
}
HARMFUL = {
    "down": {"down": True},
    "limited data": {"cut_after": PART_BYTES // 2},
    "reset": {"cut_after": 100_000, "reset": True},
    "black hole": {"black_hole": True},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with rclone_server(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    database = opened(copied(sqlite_template, tmp_path / "home"))
    yield database
    database.close()


@pytest.fixture
def wire(server: S3Server) -> Iterator[Wire]:
    with wire_to(server.port) as wire:
        yield wire


@pytest.fixture
def here(
    database: Database, server: S3Server, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> Publisher:
    """Its patience with a silent server is two seconds, not ten and three hundred."""
    monkeypatch.setattr(cdn_s3, "QUICK_S", 2)
    monkeypatch.setattr(cdn_s3, "SLOW_S", 2)
    edge: Any = server.store(endpoint=wire.endpoint)
    return Publisher(database, edge=edge)


def published(here: Publisher, transcript_id: TranscriptId) -> dict[AssetState, int]:
    drafts = [a_draft(LARGE), a_draft(b"{}", AssetKind.JSON)]
    here.uploader.publish(transcript_id, drafts)
    return here.states()


def sound(here: Publisher, server: S3Server) -> int:
    """How many assets of the database are in the store, read past the wire, as they were."""
    past: Any = server.store()
    found = 0
    for asset in here.assets.page(limit=100):
        size = past.size(asset.key)
        if size is not None:
            data = b"".join(past.read(asset.key))
            assert data in (LARGE, b"{}"), "something else than what was published"
            found += 1
    return found


@pytest.mark.parametrize("trouble", HARMLESS)
def test_what_only_takes_longer_arrives(
    here: Publisher, server: S3Server, wire: Wire, trouble: str
) -> None:
    for name, value in HARMLESS[trouble].items():
        setattr(wire, name, value)
    assert published(here, TranscriptId.new()) == {AssetState.STORED: 2}
    assert sound(here, server) == 2


@pytest.mark.parametrize("trouble", HARMFUL)
def test_what_cannot_arrive_waits_and_arrives_when_the_trouble_is_over(
    here: Publisher, server: S3Server, wire: Wire, trouble: str
) -> None:
    for name, value in HARMFUL[trouble].items():
        setattr(wire, name, value)
    talk = TranscriptId.new()
    states = published(here, talk)
    assert states[AssetState.PENDING] >= 1
    assert here.uploader.locate(talk, AssetKind.AUDIO, seconds=60).place is Place.ORIGIN
    assert sound(here, server) == states.get(AssetState.STORED, 0)
    wire.cut_after, wire.reset, wire.black_hole, wire.down = None, False, False, False
    began = time.monotonic()
    here.uploader.deliver(early=True)
    assert here.states() == {AssetState.STORED: 2}
    assert sound(here, server) == 2
    assert time.monotonic() - began < RECOVERED_S


@pytest.mark.parametrize("trouble", ["down", "black hole"])
def test_what_cannot_be_deleted_now_is_deleted_when_the_trouble_is_over(
    here: Publisher, server: S3Server, wire: Wire, trouble: str
) -> None:
    talk = TranscriptId.new()
    published(here, talk)
    for name, value in HARMFUL[trouble].items():
        setattr(wire, name, value)
    assert here.uploader.purge(talk).postponed >= 1
    wire.black_hole, wire.down = False, False
    here.uploader.deliver(early=True)
    assert here.states() == {}
    assert sound(here, server) == 0
