"""Declares answers worthless, in every level and process, the fills under way included."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

from stretto.contexts.caching.levels import Level
from stretto.contexts.caching.model import CacheEntry, CacheLevel, Invalidation, Selection
from stretto.contexts.caching.ports import InvalidationRecords
from stretto.contexts.core.bus import Publish
from stretto.contexts.core.events import CacheInvalidated
from stretto.contexts.core.identifiers import FileHash, Timestamp

SECONDS_BETWEEN_LOOKS: Final = 0.1
"""How long an invalidation by another process may go unnoticed."""

TRUSTED_FOR_S: Final = 1.0
"""After so long without a look nothing is believed that is not known to be valid."""

logger = logging.getLogger(__name__)


class InvalidationLog:
    """What this process knows of the invalidations of all of them.

    One row of the database says how many there are; it is looked at when the cache is used, at
    most ten times a second. ``heard`` is told of each new one.
    """

    def __init__(
        self,
        records: InvalidationRecords,
        *,
        now: Callable[[], Timestamp],
        heard: Callable[[Invalidation], object],
    ) -> None:
        self._records = records
        self._now = now
        self._heard = heard
        self._number: int | None = None  # None: nobody has looked yet
        self._looked_at_s = 0.0
        self._of_files: dict[FileHash, int] = {}
        self._others: list[Invalidation] = []
        self._lock = Lock()

    @property
    def number(self) -> int:
        """That of the newest one known: the epoch of a computation that begins now."""
        return self._number or 0

    def refresh(self, *, at_once: bool = False) -> None:
        """Look whether there are new ones, unless somebody looked just now.

        ``at_once`` looks whatever was before. Raises what the records raise once nobody could
        look for ``TRUSTED_FOR_S``, and always with ``at_once``.
        """
        now_s = self._now().unix_s
        since_s = abs(now_s - self._looked_at_s)
        if not at_once and self._number is not None and since_s < SECONDS_BETWEEN_LOOKS:
            return
        try:
            with self._lock:
                self._look()
                self._looked_at_s = now_s
        except Exception:
            if at_once or self._number is None or since_s >= TRUSTED_FOR_S:
                raise
            logger.debug("The invalidations could not be looked at; it is tried again.")

    def strikes(self, entry: CacheEntry) -> bool:
        """Whether an invalidation after the entry's computation began has made it worthless."""
        source = entry.origin.source
        if source is not None and self._of_files.get(source, 0) > entry.epoch:
            return True
        return any(other.strikes(entry) for other in self._others)

    def foreign(self, entry: CacheEntry) -> bool:
        """Whether the entry claims to be newer than anything that happened here: it was made by a
        cache whose database was replaced since."""
        return entry.epoch > self.number

    def _look(self) -> None:
        _, newest = self._records.newest()
        known = self._number or 0
        if newest == known:
            self._number = newest
            return
        if newest < known:  # the database was replaced by an older one
            known = 0
        for invalidation in self._records.since(known):
            self._note(invalidation)
        self._number = newest

    def _note(self, invalidation: Invalidation) -> None:
        source = invalidation.selection.source
        if source is not None and invalidation.selection == Selection(source=source):
            self._of_files[source] = invalidation.number
        else:
            self._others = [*self._others, invalidation]  # readers hold no lock
        self._heard(invalidation)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidationResult:
    """What an invalidation removed at once; ``failed`` levels come to it when they are back."""

    invalidation: Invalidation
    removed: Mapping[CacheLevel, int]
    failed: tuple[CacheLevel, ...] = ()


class CacheInvalidator:
    """Writes the invalidation down first: from then on no process takes what it strikes for an
    answer. Then the entries are deleted, level by level, the fastest first."""

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        records: InvalidationRecords,
        log: InvalidationLog,
        now: Callable[[], Timestamp],
        publish: Publish,
    ) -> None:
        self._levels = tuple(levels)
        self._records = records
        self._log = log
        self._now = now
        self._publish = publish

    def invalidate(self, selection: Selection) -> InvalidationResult:
        """Raises StorageUnavailable when it cannot be written down; nothing is deleted then."""
        invalidation = self._records.add(selection, at=self._now())
        removed, failed = {}, []
        for level in self._levels:
            try:
                removed[level.level] = level.store.delete_struck(invalidation)
            except Exception as error:  # nothing is served of it all the same
                failed.append(level.level)
                logger.warning("Level %s keeps what was invalidated. %s", level.level, error)
        self._log.refresh(at_once=True)
        self._publish(
            CacheInvalidated(
                at=invalidation.at,
                number=invalidation.number,
                selection=str(selection),
                entries=max(removed.values(), default=0),
            )
        )
        return InvalidationResult(invalidation=invalidation, removed=removed, failed=tuple(failed))
