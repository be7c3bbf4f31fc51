"""Each kind of trouble on the way to the store of what is published: links lead to the origin as
long as it lasts, and what waits arrives by itself when it is over, as it was."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.external.adapters import cdn_s3
from stretto.contexts.external.adapters.cdn_s3 import PART_BYTES
from stretto.contexts.external.cdn_delivery import DeliveryThread
from stretto.contexts.external.cdn_model import AssetKind, AssetState, Place
from tests.chaos.fleet import until
from tests.chaos.links import TOXICS, Link, Toxic, tcp_link
from tests.chaos.score import noted, remarked
from tests.chaos.terms import TIMES
from tests.publishing import Publisher, a_draft
from tests.servers import Database
from tests.stores import S3Server, rclone_server

pytestmark = pytest.mark.timeout(60 * TIMES)
LARGE = random.Random(3).randbytes(PART_BYTES + 12_345 if TIMES >= 10 else 200_000)
PASSES = {Toxic.LATE, Toxic.SLICED, Toxic.LINGERING}
"""They only take longer."""

ARRIVED_S = 60.0
LONGEST_WAIT_S = 3600.0
"""After a failed try; a clock that stands still is put forward by that much."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with rclone_server(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
def link(server: S3Server) -> Iterator[tuple[Link, int]]:
    with tcp_link(server.port) as (link, port):
        yield link, port


@pytest.fixture
def here(
    sqlite_database: Database,
    server: S3Server,
    link: tuple[Link, int],
    monkeypatch: pytest.MonkeyPatch,
) -> Publisher:
    """Its patience with a silent server is two seconds, not ten and three hundred."""
    monkeypatch.setattr(cdn_s3, "QUICK_S", 2)
    monkeypatch.setattr(cdn_s3, "SLOW_S", 2)
    edge: Any = server.store(endpoint=f"http://127.0.0.1:{link[1]}")
    return Publisher(sqlite_database, edge=edge)


def assert_all_is_as_it_was(here: Publisher, server: S3Server, count: int) -> None:
    """Past the link."""
    past: Any = server.store()
    stored = [b"".join(past.read(asset.key)) for asset in here.assets.page(limit=100)]
    noted(wrong_texts=sum(data not in (LARGE, b"{}") for data in stored))
    assert sorted(stored) == sorted([LARGE, b"{}"] * (count // 2))


@pytest.mark.parametrize("toxic", TOXICS if TIMES >= 10 else (Toxic.BLACK_HOLE,))
def test_whatever_the_way_to_the_store_is_like_links_lead_somewhere_and_what_waits_arrives(
    here: Publisher, server: S3Server, link: tuple[Link, int], toxic: Toxic
) -> None:
    before, during = TranscriptId.new(), TranscriptId.new()
    here.uploader.publish(before, [a_draft(LARGE), a_draft(b"{}", AssetKind.JSON)])
    link[0].turn(toxic)
    began = time.monotonic()
    here.uploader.publish(during, [a_draft(LARGE), a_draft(b"{}", AssetKind.JSON)])
    took_s = time.monotonic() - began
    place = here.uploader.locate(during, AssetKind.AUDIO, seconds=60).place
    if toxic not in PASSES:
        assert place is Place.ORIGIN
    delivery = DeliveryThread(delivery=here.delivery, seconds_between=0.1)
    delivery.start()
    try:
        time.sleep(0.3)
        link[0].turn(Toxic.NONE)
        healed = time.monotonic()
        until(
            lambda: here.states() == {AssetState.STORED: 4},
            seconds=ARRIVED_S,
            meanwhile=forward(here),
        )
        back_s = time.monotonic() - healed
    finally:
        delivery.close()
    assert here.uploader.locate(during, AssetKind.AUDIO, seconds=60).place is Place.EDGE
    assert_all_is_as_it_was(here, server, 4)
    noted(faults=1)
    remarked(f"store, {toxic}: {took_s:.1f} s to publish, all there {back_s:.1f} s after it")


def forward(here: Publisher) -> Callable[[], None]:
    """What waits after a failed try is not waited for."""
    return lambda: here.clock.advance(LONGEST_WAIT_S)
