"""How the cache is used is counted, and costs a write for many uses at once."""

from __future__ import annotations

from stretto.contexts.caching.model import CacheLevel, Use
from stretto.contexts.caching.usage import MOST_KEYS, SECONDS_BETWEEN_WRITES, UseLog
from tests.caches import CacheHouse
from tests.fakes.caching import MemoryUseRecords, a_key, an_entry
from tests.fakes.clock import FakeClock
from tests.fakes.examples import a_recognition, a_recognition_request

ENTRY = an_entry(engine="whisper", speech_s=2.5)


def test_a_thousand_reads_are_one_write() -> None:
    records, clock = MemoryUseRecords(), FakeClock()
    log = UseLog(records, now=clock)
    for _ in range(1000):
        log.hit(CacheLevel.L1, ENTRY)
    assert records.writes == 0
    clock.advance(SECONDS_BETWEEN_WRITES)
    log.miss("whisper")
    assert records.writes == 1
    assert records.used == {ENTRY.key: 1000}
    assert set(records.totals()) == {
        Use(level=CacheLevel.L1, engine="whisper", count=1000, speech_s=2500.0),
        Use(level=None, engine="whisper", count=1),
    }


def test_many_different_entries_are_written_down_sooner() -> None:
    records = MemoryUseRecords()
    log = UseLog(records, now=FakeClock())
    for number in range(MOST_KEYS):
        log.hit(CacheLevel.L3, an_entry(str(number)))
    assert records.writes == 1


def test_who_used_nothing_writes_nothing() -> None:
    records = MemoryUseRecords()
    UseLog(records, now=FakeClock()).flush()
    assert records.writes == 0


def test_trouble_while_writing_is_nobodys_trouble() -> None:
    class Broken(MemoryUseRecords):
        def add(self, *_: object, **__: object) -> None:
            self.writes += 1
            raise ConnectionError("no database")

    broken = Broken()
    log = UseLog(broken, now=FakeClock())
    log.hit(CacheLevel.L1, ENTRY)
    log.flush()
    log.flush()
    assert broken.writes == 1  # what was counted is lost, and not tried again


def test_the_cache_counts_hits_by_level_and_misses() -> None:
    house = CacheHouse()
    request = a_recognition_request()
    house.cache.find(request)
    house.cache.keep(request, a_recognition())
    house.cache.find(request)
    house.fast.delete(house.cache.look_up(request).key)
    house.cache.find(request)
    house.cache.flush()
    counted = {use.level: use.count for use in house.uses.totals()}
    assert counted == {None: 1, CacheLevel.L1: 2, CacheLevel.L3: 1}
    assert a_key("other") not in house.uses.used  # type: ignore[attr-defined]
