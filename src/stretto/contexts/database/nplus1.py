"""Finds the query that is asked once for each row, and has it asked once for all of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from stretto.contexts.core.errors import InvalidOption, StrettoError
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.observations import (
    CallSite,
    LazyLoad,
    LearnedLoading,
    LoadingState,
    ObservedStatement,
    RepeatedStatement,
)
from stretto.contexts.database.ports import LoadingStore

REPETITIONS: Final = 5
"""So many of the same in one unit of work are a pattern; fewer cost too little to matter."""

MOST_KNOWN: Final = 1000
MOST_UNITS: Final = 10_000
"""Units of work that are watched at once; beyond that the oldest is forgotten."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Repetition:
    """``arguments`` holds the different values that one shape was asked with."""

    site: CallSite
    count: int = 0
    arguments: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Unit:
    """What was seen in one unit of work: statements by shape and site, loads by site and path."""

    statements: dict[tuple[str, str], _Repetition] = field(default_factory=dict)
    loads: dict[tuple[str, str], int] = field(default_factory=dict)
    most_rows: int | None = 0


class N1QueryEliminator:
    """Watches units of work. A relationship that was loaded object by object at a call site is
    named by ``paths_for`` from then on, in this process at once and in others after ``flush``.

    Safe from many threads.
    """

    def __init__(
        self,
        *,
        store: LoadingStore,
        now: Callable[[], Timestamp],
        repetitions: int = REPETITIONS,
    ) -> None:
        self._store = store
        self._now = now
        self._repetitions = repetitions
        self._guard = threading.Lock()
        self._units: dict[int, _Unit] = {}
        self._known: dict[str, LearnedLoading] = {}
        self._changed: dict[str, LearnedLoading] = {}
        self._repeated: dict[tuple[str, str], RepeatedStatement] = {}

    def paths_for(self, site: CallSite) -> tuple[str, ...]:
        """The relationships to load along with what is queried at ``site``; parents come first."""
        known = self._known
        wanted = (LoadingState.LEARNED, LoadingState.PINNED)
        paths = {one.path for one in known.values() if one.site == site.key and one.state in wanted}
        return tuple(sorted(paths, key=lambda path: (path.count("."), path)))

    def lazy_loaded(self, load: LazyLoad) -> None:
        """Learns when it is the same relationship for the REPETITIONS-th time in this unit."""
        with self._guard:
            unit = self._unit(load.unit)
            key = (load.site.key, load.path)
            count = unit.loads[key] = unit.loads.get(key, 0) + 1
        if count >= self._repetitions:
            self._learn(load, count)

    def statement_ran(self, observed: ObservedStatement) -> None:
        """Counts the different values that the same statement is asked with."""
        if observed.by_relationship or not observed.shape.startswith(("select", "with")):
            return
        with self._guard:
            unit = self._unit(observed.unit)
            key = (observed.shape, observed.site.key)
            seen = unit.statements.setdefault(key, _Repetition(observed.site))
            seen.count += 1
            seen.arguments.add(observed.arguments)
            if observed.rows is None or unit.most_rows is None:
                unit.most_rows = None  # some drivers do not say how many rows there are
            else:
                unit.most_rows = max(unit.most_rows, observed.rows)

    def unit_ended(self, unit: int) -> None:
        """Judges what is not a relationship: the same statement for each row of an earlier one."""
        with self._guard:
            ended = self._units.pop(unit, None)
            if ended is None:
                return
            for (shape, site), seen in ended.statements.items():
                different = len(seen.arguments)
                too_many_for_rows = ended.most_rows is not None and different > ended.most_rows
                if different < self._repetitions or too_many_for_rows:
                    continue
                if len(self._repeated) < MOST_KNOWN:
                    self._repeated[shape, site] = self._worst(shape, seen)

    def loadings(self) -> tuple[LearnedLoading, ...]:
        """What was learned and pinned, those that cost most first."""
        self.flush()
        known = self._store.loadings()
        return tuple(sorted(known, key=lambda one: (-one.most_statements, one.id)))

    def repeated_statements(self) -> tuple[RepeatedStatement, ...]:
        """What nobody can change but the author of the code, with the line to change."""
        self.flush()
        return self._store.repeated_statements()

    def set_state(self, loading_id: str, state: LoadingState) -> None:
        """Pin a loading, switch it off, or leave it to what is learned.

        Raises InvalidOption for an id that ``loadings`` does not have.
        """
        if not self._store.set_state(loading_id, state):
            raise InvalidOption(
                f"There is no loading {loading_id[:200]!r}. Those there are: stretto db advise."
            )
        self.refresh()

    def flush(self) -> None:
        """Store what was learned, and read what others learned. Trouble is logged, no more."""
        with self._guard:
            changed, self._changed = self._changed, {}
            repeated, self._repeated = self._repeated, {}
        if changed or repeated:
            try:
                self._store.learn(tuple(changed.values()), tuple(repeated.values()))
            except StrettoError as error:
                logger.warning("Loading advice was not remembered: %s", error)
                with self._guard:
                    self._changed = {**changed, **self._changed}
                    self._repeated = {**repeated, **self._repeated}
                return
        self.refresh()

    def refresh(self) -> None:
        """Read what is known. Not done on the way of a query: it needs a connection of its own."""
        try:
            stored = {one.id: one for one in self._store.loadings()}
        except StrettoError as error:
            logger.warning("Loading advice was not read: %s", error)
            return
        with self._guard:
            own = {
                key: replace(one, state=stored[key].state) if key in stored else one
                for key, one in self._changed.items()
            }
            self._known = stored | own

    def _learn(self, load: LazyLoad, count: int) -> None:
        seen = LearnedLoading(
            site=load.site.key,
            path=load.path,
            line=load.site.line,
            state=LoadingState.LEARNED,
            most_statements=count,
            last_seen_s=self._now().unix_s,
        )
        with self._guard:
            before = self._known.get(seen.id)
            if before is not None:
                worst = max(before.most_statements, count)
                seen = replace(seen, state=before.state, most_statements=worst)
            elif len(self._known) >= MOST_KNOWN:
                return
            self._known = {**self._known, seen.id: seen}  # readers hold no lock
            self._changed[seen.id] = seen

    def _unit(self, number: int) -> _Unit:
        if number not in self._units and len(self._units) >= MOST_UNITS:
            self._units.pop(next(iter(self._units)))
        return self._units.setdefault(number, _Unit())

    def _worst(self, shape: str, seen: _Repetition) -> RepeatedStatement:
        before = self._repeated.get((shape, seen.site.key))
        return RepeatedStatement(
            site=seen.site.key,
            line=seen.site.line,
            shape=shape,
            most_statements=max(seen.count, before.most_statements if before else 0),
            last_seen_s=self._now().unix_s,
        )
