"""What every store of observations promises: the in-memory twin, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest
from sqlalchemy import Engine, create_engine

from stretto.contexts.database.adapters.advice_store import KEPT_FOR_S, SqlAdviceStore
from stretto.contexts.database.observations import (
    LearnedLoading,
    LoadingState,
    RepeatedStatement,
    SlowStatement,
)
from stretto.contexts.database.ports import LoadingStore, SlowStatementStore
from tests.fakes.advice import MemoryAdviceStore

NOW_S = 2_000_000_000.0


class Store(SlowStatementStore, LoadingStore, Protocol):
    """Both ports in one."""


@pytest.fixture(params=["twin", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "twin":
        yield MemoryAdviceStore()
        return
    file = request.getfixturevalue("tmp_path") / "stretto.sqlite3"
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{file}" if on_sqlite else request.getfixturevalue("postgres_url")
    engine: Engine = create_engine(url)
    yield SqlAdviceStore(engine, now_s=lambda: NOW_S)
    engine.dispose()


def slow(shape: str = "select ?", **changes: object) -> SlowStatement:
    fields: dict[str, object] = {
        "statement": "SELECT :a",
        "site": "shop.orders:show",
        "count": 2,
        "total_ms": 300.0,
        "worst_ms": 200.0,
        "rows": 3,
        "last_seen_s": NOW_S,
    }
    return SlowStatement(shape=shape, **(fields | changes))  # type: ignore[arg-type]


def loading(path: str = "Transcript.segments", **changes: object) -> LearnedLoading:
    fields: dict[str, object] = {
        "site": "shop.orders:show",
        "line": 12,
        "state": LoadingState.LEARNED,
        "most_statements": 7,
        "last_seen_s": NOW_S,
    }
    return LearnedLoading(path=path, **(fields | changes))  # type: ignore[arg-type]


def repeated(**changes: object) -> RepeatedStatement:
    fields: dict[str, object] = {
        "site": "shop.orders:show",
        "line": 12,
        "shape": "select a from t where b = ?",
        "most_statements": 7,
        "last_seen_s": NOW_S,
    }
    return RepeatedStatement(**(fields | changes))  # type: ignore[arg-type]


def test_an_empty_store_knows_nothing(store: Store) -> None:
    assert store.slow_statements() == store.loadings() == store.repeated_statements() == ()
    assert not store.set_state("nothing", LoadingState.PINNED)


def test_slow_statements_add_up_and_the_costliest_is_first(store: Store) -> None:
    store.add([slow(), slow("select a", total_ms=500.0, rows=None)])
    store.add(
        [slow(total_ms=400.0, worst_ms=100.0, site="shop.orders:list", last_seen_s=NOW_S + 1)]
    )
    assert store.slow_statements() == (
        slow(count=4, total_ms=700.0, site="shop.orders:list", last_seen_s=NOW_S + 1),
        slow("select a", total_ms=500.0, rows=None),
    )


def test_a_loading_keeps_what_somebody_decided_and_its_worst(store: Store) -> None:
    store.learn([loading(), loading("Transcript.words")], [])
    assert store.set_state(loading().id, LoadingState.OFF)
    store.learn([loading(most_statements=5, line=40)], [])
    assert set(store.loadings()) == {
        loading(state=LoadingState.OFF, line=40),
        loading("Transcript.words"),
    }


def test_repeated_statements_keep_their_worst(store: Store) -> None:
    store.learn([], [repeated(), repeated(shape="select 2", most_statements=50)])
    store.learn([], [repeated(most_statements=9), repeated(shape="select 2", most_statements=1)])
    assert store.repeated_statements() == (
        repeated(shape="select 2", most_statements=50),
        repeated(most_statements=9),
    )


def test_any_text_can_be_kept(store: Store) -> None:
    odd = 'select "Ж" from \'t\' where "%(a)s" = :b\n' * 50
    store.add([slow(odd, statement=odd, site="<stdin>:<module>")])
    assert store.slow_statements()[0].statement == odd


def test_what_nobody_saw_for_a_month_is_forgotten_but_no_decision(engine: Engine) -> None:
    store = SqlAdviceStore(engine, now_s=lambda: NOW_S)
    old = NOW_S - KEPT_FOR_S - 1
    store.learn([loading(), loading("A.b")], [repeated(last_seen_s=old)])
    store.set_state("shop.orders:show/A.b", LoadingState.PINNED)
    later = SqlAdviceStore(engine, now_s=lambda: NOW_S + KEPT_FOR_S + 1)
    later.add([slow(), slow("select new", last_seen_s=NOW_S + KEPT_FOR_S)])
    later.learn([], [])
    assert [one.path for one in later.loadings()] == ["A.b"]
    assert [one.shape for one in later.slow_statements()] == ["select new"]
    assert later.repeated_statements() == ()
