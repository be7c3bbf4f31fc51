"""Looks for an answer in one level after the other, the fastest first, and keeps it in all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from stretto.contexts.caching.addressing import ContentAddresser
from stretto.contexts.caching.flights import SingleFlight
from stretto.contexts.caching.invalidation import InvalidationLog
from stretto.contexts.caching.levels import Complaints, Level, QuietLevel
from stretto.contexts.caching.model import (
    CacheEntry,
    CacheHitResult,
    CacheKey,
    CacheLevel,
    CachePolicy,
    Origin,
)
from stretto.contexts.caching.ports import Cancel, Codec, Observer, Unobserved
from stretto.contexts.caching.usage import UseLog
from stretto.contexts.core.bus import Publish
from stretto.contexts.core.events import CacheEntryCreated
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.core.recognition import Recognition, RecognitionRequest

MOST_BEGUN: Final = 10_000

logger = logging.getLogger(__name__)


class MultiLevelCache:
    """The cache as the rest of the program sees it. ``levels`` are given fastest first.

    It never raises because of a level: one in trouble is a miss, and says so in the log once a
    minute. ``tag`` is written on every answer that is kept.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        codec: Codec,
        log: InvalidationLog,
        uses: UseLog,
        flights: SingleFlight,
        now: Callable[[], Timestamp],
        publish: Publish,
        policy: CachePolicy | None = None,
        addresser: ContentAddresser | None = None,
        tag: str = "",
        observer: Observer | None = None,
    ) -> None:
        self._complaints = Complaints(now)
        self._levels = tuple(QuietLevel(level, self._complaints, observer) for level in levels)
        self._codec = codec
        self._log = log
        self._uses = uses
        self._flights = flights
        self._now = now
        self._publish = publish
        self._policy = policy or CachePolicy()
        self._addresser = addresser or ContentAddresser()
        self._tag = tag
        self._observer = observer or Unobserved()
        self._begun = _Begun()

    def find(self, request: RecognitionRequest) -> Recognition | None:
        """The answer that was kept for this very request, or None."""
        return self.look_up(request).recognition

    def look_up(self, request: RecognitionRequest) -> CacheHitResult:
        """As ``find``, and says which level answered. Faster levels have the answer afterwards."""
        key = self._addresser.key(request)
        found = self._found(key)
        if found is None:
            self._begun.note(key, self._log.number)
            self._uses.miss(request.engine.engine)
            self._observer.looked_up("", 0, 0.0)
            return CacheHitResult(key=key)
        level, entry, recognition = found
        self._uses.hit(level, entry)
        self._observer.looked_up(level, len(entry.value), entry.speech_s)
        return CacheHitResult(
            key=key,
            level=level,
            age_s=max(0.0, self._now().unix_s - entry.created_at.unix_s),
            recognition=recognition,
        )

    def keep(self, request: RecognitionRequest, recognition: Recognition) -> None:
        """Store the answer in all levels, the lasting one first; refuses an answer with gaps.

        An invalidation since the same thread looked for it makes the answer one that is not kept.
        """
        key = self._addresser.key(request)
        epoch = self._begun.taken(key)
        self._keep(key, request, recognition, self._log.number if epoch is None else epoch)

    def compute(
        self, request: RecognitionRequest, work: Callable[[], Recognition], *, cancel: Cancel
    ) -> Recognition:
        """The answer that is kept, or that of ``work``, which is kept then.

        However many ask at the same time, in this process and in others on the same database, one
        works and the others wait for its answer. Raises Cancelled, and what ``work`` raises.
        """
        known = self.look_up(request).recognition
        if known is not None:
            return known
        key = self._addresser.key(request)

        def filled() -> Recognition:
            epoch = self._log.number
            recognition = work()
            self._keep(key, request, recognition, epoch)
            return recognition

        def valid_since(epoch: int) -> bool:
            entry = self._entry(key, request, Recognition(), b"", epoch)
            return self._trusted() and not self._log.strikes(entry)

        return self._flights.run(
            key,
            work=filled,
            known=lambda: found[2] if (found := self._found(key)) else None,
            epoch=lambda: self._log.number,
            valid_since=valid_since,
            cancel=cancel,
        )

    def flush(self) -> None:
        """Write down how the cache was used."""
        self._uses.flush()

    def _found(self, key: CacheKey) -> tuple[CacheLevel, CacheEntry, Recognition] | None:
        if not self._trusted():
            return None
        for position, level in enumerate(self._levels):
            entry = level.get(key)
            if entry is None:
                continue
            recognition = None if self._worthless(entry) else self._codec.decode(entry.value)
            if recognition is None:
                logger.info("Level %s had a worthless entry, it is deleted: %s", level.level, key)
                level.delete(key)
                continue
            for faster in self._levels[:position]:
                faster.put(self._for_level(entry, faster.level))
            return level.level, entry, recognition
        return None

    def _trusted(self) -> bool:
        """Whether it is known what was invalidated; otherwise everything is a miss."""
        try:
            self._log.refresh()
        except Exception as error:
            self._complaints.add("The list of invalidations", error)
            return False
        return True

    def _worthless(self, entry: CacheEntry) -> bool:
        if self._log.foreign(entry):
            try:
                self._log.refresh(at_once=True)
            except Exception:
                return True
        return self._log.foreign(entry) or self._log.strikes(entry)

    def _keep(
        self, key: CacheKey, request: RecognitionRequest, recognition: Recognition, epoch: int
    ) -> None:
        if not self._policy.may_keep(recognition):
            return
        recognition = replace(recognition, recalled_s=0.0)  # says how it came to be, not what it is
        try:
            value = self._codec.encode(recognition)
        except Exception:
            logger.exception("An answer could not be encoded and is not kept: %s", key)
            return
        if len(value) > self._policy.maximum_entry_bytes:
            logger.warning("An answer of %d bytes is too large to keep: %s", len(value), key)
            return
        entry = self._entry(key, request, recognition, value, epoch)
        if self._struck_now(entry):
            logger.info("%s was invalidated while it was computed, and is not kept.", key)
            return
        for level in reversed(self._levels):
            if level.put(self._for_level(entry, level.level)):
                self._announce(level.level, key)
        if self._struck_now(entry):  # between the look above and the write
            for level in self._levels:
                level.delete(key)

    def _struck_now(self, entry: CacheEntry) -> bool:
        try:
            self._log.refresh(at_once=True)
        except Exception as error:  # whoever reads the entry looks again
            self._complaints.add("The list of invalidations", error)
        return self._log.strikes(entry)

    def _entry(
        self,
        key: CacheKey,
        request: RecognitionRequest,
        recognition: Recognition,
        value: bytes,
        epoch: int,
    ) -> CacheEntry:
        origin = Origin(
            source=request.source,
            engine=request.engine.engine,
            model=request.engine.model,
            grain=request.grain.value,
            scope=request.scope,
            tag=self._tag,
        )
        return CacheEntry(
            key=key,
            value=value,
            created_at=self._now(),
            epoch=epoch,
            speech_s=recognition.transcribed_s,
            origin=origin,
        )

    def _for_level(self, entry: CacheEntry, level: CacheLevel) -> CacheEntry:
        return replace(entry, expires_at=self._policy.ttl_of(level).expires_at(self._now()))

    def _announce(self, level: CacheLevel, key: CacheKey) -> None:
        ttl_s = self._policy.ttl_of(level).seconds
        event = CacheEntryCreated(at=self._now(), cache_key=str(key), level=level, ttl_s=ttl_s)
        self._publish(event)


class _Begun(threading.local):
    """Which computations the thread began, and in which epoch: whoever keeps an answer without
    ``compute`` looked for it before, on the same thread."""

    def __init__(self) -> None:
        self._epochs: dict[CacheKey, int] = {}

    def note(self, key: CacheKey, epoch: int) -> None:
        self._epochs.pop(key, None)
        if len(self._epochs) >= MOST_BEGUN:
            del self._epochs[next(iter(self._epochs))]
        self._epochs[key] = epoch

    def taken(self, key: CacheKey) -> int | None:
        return self._epochs.pop(key, None)
