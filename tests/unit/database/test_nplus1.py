"""The eliminator: what it recognises as one query per row, and what it learns from that."""

from __future__ import annotations

import logging

import pytest

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.nplus1 import MOST_UNITS, N1QueryEliminator
from stretto.contexts.database.observations import (
    CallSite,
    LazyLoad,
    LoadingState,
    ObservedStatement,
)
from tests.fakes.advice import MemoryAdviceStore

SITE = CallSite(module="shop.orders", function="show", line=12)
MOVED = CallSite(module="shop.orders", function="show", line=40)
ELSEWHERE = CallSite(module="shop.orders", function="list", line=3)


def eliminator(store: MemoryAdviceStore | None = None) -> N1QueryEliminator:
    return N1QueryEliminator(store=store or MemoryAdviceStore(), now=lambda: Timestamp(1000.0))


def loads(
    watched: N1QueryEliminator,
    times: int,
    *,
    unit: int = 1,
    path: str = "Transcript.segments",
    site: CallSite = SITE,
) -> None:
    for _ in range(times):
        watched.lazy_loaded(LazyLoad(unit=unit, site=site, path=path))


def asks(
    watched: N1QueryEliminator,
    times: int,
    *,
    rows: int | None = 50,
    shape: str = "select a from t where b = ?",
    same: bool = False,
    by_relationship: bool = False,
) -> None:
    for number in range(times):
        watched.statement_ran(
            ObservedStatement(
                unit=1,
                statement=shape,
                shape=shape,
                arguments=0 if same else number,
                duration_ms=1.0,
                rows=rows,
                site=SITE,
                by_relationship=by_relationship,
            )
        )
    watched.unit_ended(1)


def test_the_fifth_load_of_one_relationship_in_a_unit_is_a_pattern() -> None:
    watched = eliminator()
    loads(watched, 4)
    assert watched.paths_for(SITE) == ()
    loads(watched, 1)
    assert watched.paths_for(SITE) == ("Transcript.segments",)


def test_loads_of_other_units_places_and_relationships_do_not_add_up() -> None:
    watched = eliminator()
    loads(watched, 4, unit=1)
    loads(watched, 4, unit=2)
    loads(watched, 4, unit=1, site=ELSEWHERE)
    loads(watched, 4, unit=1, path="Transcript.words")
    watched.unit_ended(1)
    loads(watched, 4, unit=1)
    assert watched.paths_for(SITE) == watched.paths_for(ELSEWHERE) == ()


def test_what_was_learned_holds_when_the_line_moves_and_nowhere_else() -> None:
    watched = eliminator()
    loads(watched, 5)
    assert watched.paths_for(MOVED) == ("Transcript.segments",)
    assert watched.paths_for(ELSEWHERE) == ()


def test_parents_are_loaded_before_their_children() -> None:
    watched = eliminator()
    loads(watched, 5, path="Transcript.segments.words")
    loads(watched, 5, path="Transcript.segments")
    assert watched.paths_for(SITE) == ("Transcript.segments", "Transcript.segments.words")


def test_another_process_knows_it_too_after_both_flushed() -> None:
    store = MemoryAdviceStore()
    one, other = eliminator(store), eliminator(store)
    loads(one, 7)
    other.flush()
    assert other.paths_for(SITE) == ()
    one.flush()
    other.flush()
    assert other.paths_for(SITE) == ("Transcript.segments",)
    (known,) = other.loadings()
    assert (known.site, known.line, known.most_statements) == ("shop.orders:show", 12, 7)


def test_what_is_switched_off_stays_off_whatever_is_seen() -> None:
    store = MemoryAdviceStore()
    watched, user = eliminator(store), eliminator(store)
    loads(watched, 5)
    watched.flush()
    user.set_state("shop.orders:show/Transcript.segments", LoadingState.OFF)
    watched.flush()
    assert watched.paths_for(SITE) == ()
    loads(watched, 9, unit=2)
    watched.flush()
    assert watched.paths_for(SITE) == ()
    (known,) = watched.loadings()
    assert (known.state, known.most_statements) == (LoadingState.OFF, 9)
    user.set_state(known.id, LoadingState.PINNED)
    assert user.paths_for(SITE) == ("Transcript.segments",)


def test_an_id_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidOption, match="There is no loading 'nonsense'"):
        eliminator().set_state("nonsense", LoadingState.PINNED)


def test_the_same_statement_for_each_row_of_an_earlier_one_is_named() -> None:
    watched = eliminator()
    asks(watched, 5)
    (found,) = watched.repeated_statements()
    assert (found.site, found.line, found.most_statements) == ("shop.orders:show", 12, 5)
    assert found.shape == "select a from t where b = ?"


def test_drivers_that_count_no_rows_are_believed_to_have_had_enough() -> None:
    watched = eliminator()
    asks(watched, 5, rows=None)
    assert len(watched.repeated_statements()) == 1


@pytest.mark.parametrize(
    "harmless",
    [
        {"times": 4},
        {"times": 50, "same": True},  # the same question again is a matter for a cache
        {"times": 50, "rows": 1},  # no earlier result had so many rows
        {"times": 50, "shape": "insert into t (a) values (?)"},
        {"times": 50, "by_relationship": True},  # named by its relationship
    ],
)
def test_what_only_looks_like_it_is_not_named(harmless: dict[str, object]) -> None:
    watched = eliminator()
    asks(watched, **harmless)  # type: ignore[arg-type]
    assert watched.repeated_statements() == ()


def test_the_worst_unit_of_work_counts() -> None:
    watched = eliminator()
    for times in (6, 9, 7):
        asks(watched, times)
    assert [found.most_statements for found in watched.repeated_statements()] == [9]


def test_a_store_in_trouble_is_tried_again_later(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryAdviceStore()
    watched = eliminator(store)
    loads(watched, 5)
    store.broken = True
    with caplog.at_level(logging.WARNING):
        watched.flush()
    assert "Loading advice was not remembered: The database is away." in caplog.text
    assert watched.paths_for(SITE) == ("Transcript.segments",)
    store.broken = False
    watched.flush()
    assert [one.path for one in store.loadings()] == ["Transcript.segments"]


def test_units_that_never_end_are_forgotten() -> None:
    watched = eliminator()
    loads(watched, 4, unit=1)
    for unit in range(2, MOST_UNITS + 2):
        loads(watched, 1, unit=unit)
    loads(watched, 1, unit=1)
    assert watched.paths_for(SITE) == ()
