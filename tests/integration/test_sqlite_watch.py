"""Slow statements of the embedded database are noted while it works, and kept now and then."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from stretto.bootstrap import build, build_advisers, build_database
from stretto.bootstrap.slow_statements import SlowStatements
from stretto.contexts.database.adapters.sqlite_watch import MOST_NOTED, SlowRuns
from stretto.settings import Settings

SLOW = """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    SELECT count(*) FROM n
"""


def connected(runs: SlowRuns) -> sqlite3.Connection:
    return sqlite3.connect(":memory:", factory=runs.connection_class(), isolation_level=None)


@pytest.mark.parametrize("way", ["fetchone", "fetchmany", "fetchall", "each"])
def test_time_spent_on_looking_for_rows_counts(way: str) -> None:
    runs = SlowRuns(slow_ms=0.5)
    with closing(connected(runs)) as connection:
        cursor = connection.execute(SLOW)
        rows = list(cursor) if way == "each" else getattr(cursor, way)()
        assert rows in [[(20000,)], (20000,)]
    (run,) = runs.taken()
    assert run.statement == SLOW
    assert run.duration_ms >= 0.5
    assert run.rows == 1
    assert run.site is not None
    assert run.site[0] == __name__
    assert list(runs.taken()) == []


def test_what_is_quick_is_not_noted_and_nothing_else_changes() -> None:
    runs = SlowRuns(slow_ms=10_000)
    with closing(connected(runs)) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)])
        cursor = connection.execute("SELECT a FROM t WHERE a > :least", {"least": 1})
        assert cursor.fetchone() == (2,)
        assert cursor.fetchmany(5) == [(3,)]
        assert connection.execute("SELECT 1 WHERE 0").fetchone() is None
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("SELECT nonsense")
    assert list(runs.taken()) == []


def test_whole_statements_can_be_reported_too() -> None:
    runs = SlowRuns(slow_ms=100)
    runs.heard("SELECT 1", 0.099)
    runs.heard("SELECT 2", 0.1)
    assert [(run.statement, run.duration_ms) for run in runs.taken()] == [("SELECT 2", 100.0)]


def test_memory_is_bounded() -> None:
    runs = SlowRuns(slow_ms=0)
    with closing(connected(runs)) as connection:
        for _ in range(MOST_NOTED + 10):
            connection.execute("SELECT 1")
    assert len(list(runs.taken())) == MOST_NOTED


def test_what_was_slow_in_one_run_of_the_program_is_advised_about_in_the_next(
    tmp_path: Path,
) -> None:
    settings = Settings(home=tmp_path / "home", slow_query_ms=1)
    with build(settings) as application:
        store = application.transcripts
        database = store._database  # type: ignore[attr-defined]
        assert store.recent(1) == ()
        with database.write() as connection:
            connection.execute(SLOW.replace("20000", "200000")).fetchone()
    with build_advisers(settings) as advisers:
        shapes = {slow.shape: slow for slow, _ in advisers.optimizer.advise()}
    slow = shapes[SHAPE]
    assert slow.rows == 1
    assert slow.site.startswith(__name__)


SHAPE = (
    "with recursive n (i) as (select ? union all select i + ? from n where i < ?) "
    "select count (*) from n"
)


def remembered(settings: Settings) -> int:
    """How often the slow statement ran, as far as the next process would know."""
    with build_advisers(settings) as advisers:
        return sum(slow.count for slow, _ in advisers.optimizer.advise() if slow.shape == SHAPE)


def test_a_process_that_is_killed_loses_no_more_than_its_last_seconds(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", slow_query_ms=1)
    slow = SlowStatements(settings, every_s=0.05)
    database = build_database(settings, slow=slow.runs)
    for count in (1, 2):  # the second time it is noted again
        with database.write() as connection:  # nobody else can write yet
            connection.execute(SLOW.replace("20000", "200000")).fetchone()
            time.sleep(0.1)
        deadline = time.monotonic() + 20
        while remembered(settings) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert remembered(settings) == count
    slow.close()
    assert remembered(settings) == 2
    database.close()


def test_no_thread_waits_while_nothing_is_slow_and_after_the_end(tmp_path: Path) -> None:
    before = threading.active_count()
    settings = Settings(home=tmp_path / "home", slow_query_ms=50)
    slow = SlowStatements(settings, every_s=600)
    slow.runs.heard("SELECT 1", 0.01)
    assert threading.active_count() == before
    slow.runs.heard("SELECT 1", 0.09)
    slow.runs.heard("SELECT 1", 0.09)
    assert threading.active_count() == before + 1
    slow.close()
    slow.runs.heard("SELECT 1", 0.09)
    deadline = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() == before


def test_trouble_with_advice_spoils_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(home=tmp_path / "home", slow_query_ms=1)
    caplog.set_level("INFO")
    with build(settings) as application:
        with application.transcripts._database.read() as connection:  # type: ignore[attr-defined]
            connection.execute(SLOW.replace("20000", "200000")).fetchone()
        settings.database_path.unlink()
    assert "Slow statements were not remembered." in caplog.text
