"""Reports, frames and alerts are the same to all who look: in both databases, and their twin."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from stretto.contexts.core.events import AlertNotice, AlertsChanged
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.adapters.outbox import OutboxWriter, SqlOutbox
from stretto.contexts.monitoring.adapters.sql_store import SqlAlertStates, SqlFrames, SqlReports
from stretto.contexts.monitoring.alerts import AlertState, AlertStatus
from stretto.contexts.monitoring.frames import Drawn, Kept, ProcessState, Tick
from stretto.contexts.monitoring.keeping import made
from stretto.contexts.monitoring.notices import Changed
from stretto.contexts.monitoring.ports import AlertStates, Frames, Reports
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.sketch import Sketch
from tests.fakes.monitoring import MemoryMonitoring
from tests.servers import Database
from tests.unit.monitoring.examples import START, a_frame, a_report

END = Timestamp(START)
FULL = Reading(
    {"processing.retries": 3.0, "queue.depth{priority=low}": 0.5},
    {"gateway.latency": Sketch.of([0.0, 0.2, 0.2, 1e9])},
)
NOTICE = AlertsChanged(
    at=END,
    group="queue",
    alerts=(
        AlertNotice(
            rule="r",
            severity="warning",
            firing=True,
            value=1.0,
            threshold=0.0,
            summary="s",
            action="a",
        ),
    ),
)


@dataclass(frozen=True)
class Store:
    reports: Reports
    frames: Frames
    states: AlertStates
    outbox: Any

    def told(self) -> list[AlertsChanged]:
        if isinstance(self.outbox, MemoryMonitoring):
            return self.outbox.told
        return [e.event for e in self.outbox.waiting(after=0, limit=100)]


@pytest.fixture(params=["memory", "sqlite_database", "postgresql_database"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        twin = MemoryMonitoring()
        yield Store(twin, twin, twin, twin)
        return
    database: Database = request.getfixturevalue(request.param)
    states = SqlAlertStates(cast("Any", database), outbox=OutboxWriter())
    yield Store(
        SqlReports(cast("Any", database)),
        SqlFrames(cast("Any", database)),
        states,
        SqlOutbox(cast("Any", database)),
    )


def test_a_report_comes_back_as_it_was_and_replaces_the_one_before(store: Store) -> None:
    store.reports.report(a_report(reading=Reading({"processing.retries": 1})))
    report = a_report(at=START + 10, reading=FULL)
    store.reports.report(report)
    assert store.reports.processes() == (report,)


def test_the_name_of_a_machine_may_be_anything(store: Store) -> None:
    store.reports.report(a_report(host="\udcff\0 '; DROP TABLE metric_process; --"))
    assert len(store.reports.processes()) == 1


def test_a_tick_is_made_once(store: Store) -> None:
    assert store.frames.tick(END, lambda r, k: made(r, k, Reading(), END)) is not None
    assert store.frames.tick(END, lambda r, k: made(r, k, Reading(), END)) is None
    earlier = Timestamp(START - 10)
    assert store.frames.tick(earlier, lambda r, k: made(r, k, Reading(), earlier)) is None


def test_ticks_do_not_wait_for_a_clock_that_was_set_back(store: Store) -> None:
    """What is heard of the same seconds again replaces what was heard of them before."""

    def tick(at_s: float, depth: float) -> bool:
        at, sampled = Timestamp(at_s), Reading({"queue.dead_letters": depth})
        return store.frames.tick(at, lambda r, k: made(r, k, sampled, at)) is not None

    for at_s, depth in ((START, 1.0), (START + 7200, 2.0), (START, 3.0)):
        assert tick(at_s, depth)
        assert not tick(at_s, 9.0), "one makes it"
    (frame,) = store.frames.between(10, Timestamp(START - 10), END)
    assert frame.reading.values["queue.dead_letters"] == 3.0


def test_of_many_that_tick_at_the_same_time_one_does(store: Store) -> None:
    store.reports.report(a_report(reading=FULL))

    def tick(_: int) -> bool:
        return store.frames.tick(END, lambda r, k: made(r, k, Reading(), END)) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(tick, range(16))) == 1


def test_what_a_tick_keeps_is_what_the_next_one_gets(store: Store) -> None:
    store.reports.report(a_report("a", reading=FULL, state=ProcessState.LEFT))
    store.reports.report(a_report("b", at=START - 31))
    store.frames.tick(END, lambda r, k: made(r, k, Reading(), END))
    reports, kept = store.reports.standing()
    assert [(one.id, one.state) for one in reports] == [("b", ProcessState.LOST)]
    assert kept.ended.values["processing.retries"] == 3
    assert kept.ended.sketches == FULL.sketches
    assert kept.told.values == {"processing.retries": 3, "process.lost{role=worker}": 1}


def test_one_that_was_lost_and_is_found_dead_is_not_lost_again(store: Store) -> None:
    store.reports.report(a_report("a", at=START - 31))
    store.frames.tick(END, lambda r, k: made(r, k, Reading(), END))
    store.reports.report(a_report("a", state=ProcessState.DIED))
    assert [one.state for one in store.reports.processes()] == [ProcessState.LEFT]


def test_a_tick_that_fails_leaves_everything_as_it_was(store: Store) -> None:
    if isinstance(store.outbox, MemoryMonitoring):
        pytest.skip("the twin has no transactions")

    def fail(_: object, __: Kept) -> Tick:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.frames.tick(END, fail)
    assert store.frames.tick(END, lambda r, k: made(r, k, Reading(), END)) is not None


def test_frames_come_back_in_order_and_by_their_step(store: Store) -> None:
    frames = [replace(a_frame(START + 10 * n), reading=FULL) for n in (2, 0, 1)]
    store.frames.add([*frames, replace(frames[0], step_s=60)], [])
    found = store.frames.between(10, END, Timestamp(START + 20))
    assert found == (frames[1], frames[2])
    assert store.frames.newest(10) == Timestamp(START + 20)
    assert store.frames.newest(600) is None


def test_a_frame_that_is_there_stays_and_the_old_ones_go(store: Store) -> None:
    frame = a_frame(START, {"processing.retries": 1})
    frame = replace(frame, drawn=Drawn("these charts", (1.5, None, 0.0)))
    store.frames.add([frame], [])
    other = a_frame(START, {"processing.retries": 2})
    store.frames.add([other, a_frame(START + 10)], [(60, Timestamp(9e9))])
    assert store.frames.between(10, END, Timestamp(START + 10)) == (frame,)
    store.frames.add([], [(10, Timestamp(START + 10))])
    assert [f.start.unix_s for f in store.frames.between(10, END, Timestamp(9e9))] == [START + 10]


FIRING = AlertState(
    rule="r", status=AlertStatus.FIRING, since=END, value=2.5, incidents=1, told=True, version=1
)
CALM = AlertState(rule="r")


def test_a_change_is_made_and_told_in_one_step(store: Store) -> None:
    assert store.states.change([Changed(CALM, FIRING)], lambda _: [NOTICE])
    assert store.states.all() == {"r": FIRING}
    assert store.told() == [NOTICE]


def test_a_change_of_something_that_has_changed_is_not_made_and_not_told(store: Store) -> None:
    changed = Changed(CALM, FIRING)
    store.states.change([changed], lambda made: [NOTICE] if made else [])
    assert store.states.change([changed], lambda made: [NOTICE] if made else []) == ()
    assert len(store.told()) == 1


def test_of_many_that_change_an_alert_one_does(store: Store) -> None:
    def change(_: int) -> int:
        return len(
            store.states.change([Changed(CALM, FIRING)], lambda made: [NOTICE] if made else [])
        )

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(change, range(16))) == 1
    assert len(store.told()) == 1


def test_a_noted_value_is_no_change(store: Store) -> None:
    store.states.note({"r": 0.5, "s": None})
    assert store.states.all()["r"] == replace(CALM, value=0.5)
    assert store.states.change([Changed(CALM, FIRING)], lambda _: ())
    store.states.note({"r": 7.0})
    assert store.states.all()["r"] == replace(FIRING, value=7.0)
