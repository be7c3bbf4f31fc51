"""What is published reaches the edge, whatever happens in between; what is deleted leaves it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stretto.contexts.core.errors import CDNRefused, UnknownAsset, UnknownTranscript
from stretto.contexts.core.events import AssetPublished, AssetPurged
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.external.cdn_delivery import LEASE_S
from stretto.contexts.external.cdn_model import (
    FIRST_DELAY_S,
    AssetKind,
    AssetState,
    Content,
    Place,
    Wanted,
    next_delay_s,
    served_name,
)
from tests.fakes.assets import MemoryStore
from tests.publishing import Publisher, a_draft
from tests.servers import Database

TALK = TranscriptId.new()
PENDING, STORED, PURGING = AssetState


@pytest.fixture
def here(database: Database) -> Publisher:
    return Publisher(database)


def edge(publisher: Publisher) -> MemoryStore:
    assert publisher.edge is not None
    return publisher.edge


def place(publisher: Publisher, kind: AssetKind = AssetKind.AUDIO) -> tuple[Place, str]:
    found = publisher.uploader.locate(TALK, kind, seconds=60)
    return found.place, found.reason


def test_what_is_published_lies_at_the_origin_and_at_the_edge(here: Publisher) -> None:
    done = here.uploader.publish(TALK, [a_draft(), a_draft(b"{}", AssetKind.JSON)])
    assert (done.stored, done.postponed) == (2, 0)
    assert here.states() == {STORED: 2}
    assert here.origin.objects == edge(here).objects
    assert place(here) == (Place.EDGE, "")
    assert {type(event) for event in here.events} == {AssetPublished}


def test_without_an_edge_the_origin_is_where_listeners_fetch(database: Database) -> None:
    alone = Publisher(database, edge=None)
    assert alone.uploader.publish(TALK, [a_draft()]).stored == 1
    assert place(alone) == (Place.ORIGIN, "")


def test_while_the_edge_is_down_the_origin_has_it_and_later_it_is_sent_by_itself(
    here: Publisher,
) -> None:
    edge(here).down()
    done = here.uploader.publish(TALK, [a_draft(), a_draft(b"{}", AssetKind.JSON)])
    assert (done.stored, done.postponed) == (0, 1)  # one try says enough
    assert place(here)[0] is Place.ORIGIN
    edge(here).up()
    here.delivery.run()
    here.clock.advance(FIRST_DELAY_S)
    here.delivery.run()
    assert here.states() == {STORED: 2}
    assert place(here) == (Place.EDGE, "")


def test_an_edge_that_goes_down_afterwards_is_replaced_by_the_origin(here: Publisher) -> None:
    here.uploader.publish(TALK, [a_draft()])
    edge(here).down()
    assert place(here) == (Place.ORIGIN, "It cannot be reached.")
    edge(here).up()
    assert place(here) == (Place.EDGE, "")


def test_what_the_edge_lost_is_sent_again(here: Publisher) -> None:
    here.uploader.publish(TALK, [a_draft()])
    edge(here).objects.clear()
    assert place(here)[0] is Place.ORIGIN
    here.uploader.deliver()
    assert place(here) == (Place.EDGE, "")


def test_what_was_damaged_at_the_edge_is_found_by_reading_it_back(here: Publisher) -> None:
    here.uploader.publish(TALK, [a_draft(), a_draft(b"{}", AssetKind.JSON)])
    (key,) = (key for key in edge(here).objects if key.endswith(".ogg"))
    edge(here).objects[key] = b"Audio"
    assert place(here) == (Place.EDGE, "")  # its length is right
    found = here.uploader.inspect()
    assert (found.sound, found.sent_again) == (1, (key,))
    here.uploader.deliver()
    assert here.uploader.inspect().sound == 2


def test_a_damaged_origin_never_reaches_the_edge(here: Publisher) -> None:
    edge(here).down()
    here.uploader.publish(TALK, [a_draft()])
    edge(here).up()
    (key,) = here.origin.objects
    here.origin.objects[key] = b"Audio"
    done = here.uploader.deliver(early=True)
    assert (done.stored, done.postponed) == (0, 1)
    assert "stretto cdn publish" in done.troubles[0]
    assert edge(here).objects == {}
    assert here.uploader.publish(TALK, [a_draft()]).stored == 1


def test_publishing_anew_replaces_what_was_there(here: Publisher) -> None:
    here.uploader.publish(TALK, [a_draft(b"old"), a_draft(b"{}", AssetKind.JSON)])
    here.uploader.publish(TALK, [a_draft(b"new")])
    assert sorted(edge(here).objects.values()) == [b"new", b"{}"]
    assert here.origin.objects == edge(here).objects
    assert here.states() == {STORED: 2}


def test_publishing_the_same_again_is_harmless(here: Publisher) -> None:
    for _ in range(2):
        here.uploader.publish(TALK, [a_draft()])
    assert here.states() == {STORED: 1}


def test_purging_leaves_nothing_and_may_be_done_twice(here: Publisher) -> None:
    other = TranscriptId.new()
    here.uploader.publish(TALK, [a_draft(), a_draft(b"{}", AssetKind.JSON)])
    here.uploader.publish(other, [a_draft()])
    assert [here.uploader.purge(TALK).purged for _ in range(2)] == [2, 0]
    assert len(edge(here).objects) == len(here.origin.objects) == 1
    assert sum(isinstance(event, AssetPurged) for event in here.events) == 2
    with pytest.raises(UnknownAsset, match="stretto cdn publish"):
        place(here)


def test_while_the_edge_is_down_a_purge_waits_and_nothing_can_be_fetched_from_here(
    here: Publisher,
) -> None:
    here.uploader.publish(TALK, [a_draft()])
    edge(here).down()
    assert here.uploader.purge(TALK).postponed == 1
    assert here.origin.objects == {}
    with pytest.raises(UnknownAsset):
        place(here)
    edge(here).up()
    assert here.delivery.run().purged == 0  # not yet
    here.clock.advance(FIRST_DELAY_S)
    assert here.delivery.run().purged == 1
    assert (edge(here).objects, here.states()) == ({}, {})


def test_nothing_is_published_of_a_transcript_that_is_not_there(here: Publisher) -> None:
    here.deleted.add(TALK)
    with pytest.raises(UnknownTranscript, match="stretto transcripts list"):
        here.uploader.publish(TALK, [a_draft()])
    assert (here.states(), edge(here).objects, here.origin.objects) == ({}, {}, {})


def test_what_was_left_half_published_of_a_deleted_transcript_is_purged(here: Publisher) -> None:
    edge(here).down()
    here.uploader.publish(TALK, [a_draft()])
    here.deleted.add(TALK)  # and whoever would have struck it died
    edge(here).up()
    assert here.uploader.deliver(early=True).purged == 1
    assert (here.states(), here.origin.objects) == ({}, {})


def test_a_transcript_deleted_while_it_is_sent_is_purged_and_not_stored(here: Publisher) -> None:
    def sent(_asset: Any, _count: int) -> None:
        here.uploader.strike(TALK)
        here.clock.advance(LEASE_S / 2)  # the lease is renewed, which says that it is unwanted

    done = here.uploader.publish(TALK, [a_draft()], progressed=sent)
    assert done.stored == 0
    assert edge(here).objects == {}
    assert here.uploader.deliver().purged == 1
    assert here.states() == {}


def test_a_transcript_deleted_just_before_it_is_stored_is_purged_next(here: Publisher) -> None:
    def sent(_asset: Any, _count: int) -> None:
        here.uploader.strike(TALK)

    here.uploader.publish(TALK, [a_draft()], progressed=sent)
    assert here.states() == {PURGING: 1}
    here.uploader.deliver()
    assert (here.states(), edge(here).objects, here.origin.objects) == ({}, {}, {})


# -- several at once, and one that dies


def test_what_one_works_on_no_other_takes_until_the_lease_ends(database: Database) -> None:
    one, other = Publisher(database, holder="one"), Publisher(database, holder="other")
    other.clock = one.clock
    one.assets.add([a_draft().asset(TALK, at=one.clock())])
    wanted = Wanted(now=one.clock(), seconds=LEASE_S)
    taken = one.assets.claim("one", wanted=wanted)
    assert taken is not None
    assert other.assets.claim("other", wanted=wanted) is None
    late = replace(wanted, now=replace(one.clock(), unix_s=one.clock().unix_s + LEASE_S))
    assert other.assets.claim("other", wanted=late) is not None
    # The first one wakes up: it changes nothing any more.
    assert not one.assets.renew(taken.key, "one", now=late.now, seconds=LEASE_S)
    one.assets.settle(replace(taken, state=STORED, store="edge"), "one")
    assert one.states() == {PENDING: 1}


def test_whoever_dies_in_the_middle_of_an_upload_leaves_it_to_the_next(database: Database) -> None:
    class Death(BaseException):
        pass

    def dying(_asset: Any, _count: int) -> None:
        raise Death

    one = Publisher(database, holder="one")
    with pytest.raises(Death):
        one.uploader.publish(TALK, [a_draft()], progressed=dying)
    other = Publisher(database, origin=one.origin, edge=one.edge, holder="other")
    assert other.delivery.run().stored == 1
    assert place(other) == (Place.EDGE, "")


def test_somebody_who_asks_early_does_not_wait(here: Publisher) -> None:
    edge(here).trouble = CDNRefused("The secret key is wrong.")
    here.uploader.publish(TALK, [a_draft()])
    (asset,) = here.assets.of(TALK)
    assert (asset.trouble, asset.attempts) == ("The secret key is wrong.", 1)
    edge(here).up()
    assert here.delivery.run().stored == 0
    assert here.uploader.deliver(early=True).stored == 1
    (asset,) = here.assets.of(TALK)
    assert (asset.trouble, asset.attempts) == ("", 0)


# -- another store


def test_in_another_store_everything_is_sent_again_when_somebody_says_so(
    database: Database,
) -> None:
    before = Publisher(database)
    before.uploader.publish(TALK, [a_draft()])
    after = Publisher(database, origin=before.origin, edge=MemoryStore("another"))
    assert place(after)[0] is Place.ORIGIN
    assert after.uploader.move() == 1
    assert after.uploader.deliver().stored == 1
    assert place(after) == (Place.EDGE, "")


def test_what_lies_in_a_store_that_is_not_set_up_any_more_is_not_said_to_be_purged(
    database: Database,
) -> None:
    before = Publisher(database)
    before.uploader.publish(TALK, [a_draft()])
    after = Publisher(database, origin=before.origin, edge=MemoryStore("another"))
    done = after.uploader.purge(TALK)
    assert (done.purged, done.postponed) == (0, 1)
    assert "STRETTO_CDN_URL" in done.troubles[0]
    assert before.uploader.deliver(early=True).purged == 1
    assert edge(before).objects == {}


def test_the_list_is_read_page_by_page(here: Publisher) -> None:
    for number in range(5):
        here.uploader.publish(TranscriptId.new(), [a_draft(bytes([number]))])
    seen, after = [], ""
    while page := here.assets.page(limit=2, after=after):
        seen += [asset.key.value for asset in page]
        after = page[-1].key.value
    assert (len(seen), seen) == (5, sorted(seen))


# -- small things


def test_the_delay_doubles_up_to_an_hour_and_is_never_nothing() -> None:
    assert [next_delay_s(n, chance=0.0) for n in (1, 2, 3, 30)] == [15, 30, 60, 1800]
    assert next_delay_s(1, chance=0.999) < 30 < next_delay_s(2, chance=0.999) < 60


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("talk.wav", "talk.ogg"),
        ("../../etc/passwd", "passwd.ogg"),
        ("C:\\talks\\a.b.mp3", "a.b.ogg"),
        ("\r\n.wav", "recording.ogg"),
        (".wav", "recording.ogg"),
        ("talk", "talk.ogg"),
        ("", "recording.ogg"),
        ("зал.mp3", "зал.ogg"),
    ],
)
def test_a_served_name_is_a_plain_one(file: str, name: str) -> None:
    assert served_name(file, ".ogg") == name


def test_the_content_of_a_stream_is_that_of_its_bytes() -> None:
    pieces = (b"It was ", b"the best", b" of times")
    whole = Content.of_bytes(b"".join(pieces))
    assert Content.of_pieces(lambda: iter(pieces)).sha256 == whole.sha256
    assert b"".join(whole.checked("memory")) == b"".join(pieces)
