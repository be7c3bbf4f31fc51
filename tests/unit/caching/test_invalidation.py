"""An invalidation is written down first, then noticed everywhere, and announced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stretto.contexts.caching.invalidation import SECONDS_BETWEEN_LOOKS, InvalidationLog
from stretto.contexts.caching.model import CacheLevel, Invalidation, Selection
from stretto.contexts.core.events import CacheInvalidated
from stretto.contexts.core.identifiers import FileHash, Timestamp
from tests.caches import CacheHouse
from tests.fakes.caching import MemoryInvalidationRecords, an_entry
from tests.fakes.clock import FakeClock
from tests.fakes.examples import a_recognition, a_recognition_request, sha256_of
from tests.unit.caching.test_multilevel import BrokenStore

FILE = FileHash(sha256_of("talk.mp3"))


class Listener:
    """A process that knows of invalidations through the records alone."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.records = MemoryInvalidationRecords()
        self.heard: list[Invalidation] = []
        self.log = InvalidationLog(self.records, now=self.clock, heard=self.heard.append)

    def elsewhere(self, selection: Selection) -> Invalidation:
        return self.records.add(selection, at=self.clock())


def test_an_invalidation_elsewhere_is_noticed_within_a_tenth_of_a_second() -> None:
    listener = Listener()
    listener.log.refresh()
    made = listener.elsewhere(Selection(source=FILE))
    listener.log.refresh()
    assert listener.heard == []
    listener.clock.advance(SECONDS_BETWEEN_LOOKS + 0.001)
    listener.log.refresh()
    assert listener.heard == [made]
    assert listener.log.number == 1


def test_looking_costs_nothing_in_between() -> None:
    listener = Listener()
    for _ in range(1000):
        listener.log.refresh()
        listener.clock.advance(0.001)
    assert listener.records.looks <= 11


def test_a_clock_that_goes_back_does_not_stop_the_looking() -> None:
    listener = Listener()
    listener.log.refresh()
    made = listener.elsewhere(Selection())
    listener.clock.advance(-3600)
    listener.log.refresh()
    assert listener.heard == [made]


def test_it_strikes_what_was_begun_before_and_spares_what_came_after() -> None:
    listener = Listener()
    old = an_entry(source="talk.mp3", engine="whisper")
    listener.elsewhere(Selection(source=FILE))
    listener.log.refresh()
    assert listener.log.strikes(old)
    assert not listener.log.strikes(replace(old, epoch=1))
    assert not listener.log.strikes(an_entry(source="other"))
    listener.elsewhere(Selection(engine="whisper"))
    listener.log.refresh(at_once=True)
    assert listener.log.strikes(replace(old, epoch=1))
    assert not listener.log.strikes(replace(old, epoch=2))


def test_trouble_with_the_records_is_borne_for_a_second_and_then_said() -> None:
    listener = Listener()
    listener.log.refresh()
    listener.records.trouble = ConnectionError("no database")
    listener.clock.advance(0.9)
    listener.log.refresh()
    listener.clock.advance(0.2)
    with pytest.raises(ConnectionError):
        listener.log.refresh()


def test_who_has_never_looked_does_not_believe_anything() -> None:
    listener = Listener()
    listener.records.trouble = ConnectionError("no database")
    with pytest.raises(ConnectionError):
        listener.log.refresh()


def test_a_database_that_was_replaced_by_an_older_one_is_read_anew() -> None:
    listener = Listener()
    for _ in range(3):
        listener.elsewhere(Selection(engine="cloud"))
    listener.log.refresh()
    listener.records.all = [Invalidation(number=1, at=Timestamp(1.0), selection=Selection())]
    listener.log.refresh(at_once=True)
    assert listener.log.number == 1
    assert listener.log.strikes(an_entry())


def test_an_invalidation_cascades_and_is_announced_with_what_it_deleted() -> None:
    house = CacheHouse()
    for name in ("one", "two"):
        house.cache.keep(replace(a_recognition_request(name), source=FILE), a_recognition())
    house.cache.keep(a_recognition_request("three"), a_recognition())
    result = house.invalidator.invalidate(Selection(source=FILE))
    assert result.removed == {CacheLevel.L1: 2, CacheLevel.L3: 2}
    assert result.failed == ()
    event = house.events[-1]
    assert isinstance(event, CacheInvalidated)
    assert (event.number, event.selection, event.entries) == (1, f"file={FILE}", 2)
    assert house.cache.find(a_recognition_request("three")) is not None


def test_a_level_in_trouble_does_not_keep_the_others_from_it() -> None:
    house = CacheHouse()
    broken = [(CacheLevel.L2, BrokenStore()), (CacheLevel.L3, house.slow)]
    house = CacheHouse(broken, clock=house.clock)
    house.cache.keep(a_recognition_request(), a_recognition())
    result = house.invalidator.invalidate(Selection())
    assert (result.removed, result.failed) == ({CacheLevel.L3: 1}, (CacheLevel.L2,))


def test_what_cannot_be_written_down_is_an_error_and_deletes_nothing() -> None:
    house = CacheHouse()
    house.cache.keep(a_recognition_request(), a_recognition())
    house.records.trouble = ConnectionError("no database")  # type: ignore[attr-defined]
    with pytest.raises(ConnectionError):
        house.invalidator.invalidate(Selection())
    assert house.slow.status().entries == 1


def test_a_selection_reads_as_what_was_asked_for() -> None:
    assert str(Selection()) == "all"
    assert str(Selection(engine="whisper", model="base", tag="t")) == (
        "engine=whisper model=base tag=t"
    )
    assert str(Selection(before=Timestamp(5.0))) == "before=5.000"
