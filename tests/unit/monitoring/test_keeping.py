"""Keeping series: what processes report becomes frames, whoever dies meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stretto.contexts.core.events import DomainEvent, MetricRecorded
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.dashboards import DashboardGenerator
from stretto.contexts.monitoring.frames import STEPS, Kept, ProcessState, rolled_up, step_for
from stretto.contexts.monitoring.keeping import FORGOTTEN_S, SILENT_S, Keeper, made, standing
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.sketch import Sketch
from tests.fakes.monitoring import MemoryMonitoring
from tests.unit.monitoring.examples import START, a_frame, a_report

RETRIES = "processing.retries"
END = Timestamp(START)


def reading(retries: float, running: float = 1.0) -> Reading:
    return Reading({RETRIES: retries, "queue.running": running})


def test_a_frame_holds_how_much_counters_grew_and_what_gauges_are() -> None:
    reports = [a_report("a", reading=reading(5)), a_report("b", reading=reading(3))]
    first = made(reports, Kept(), Reading(), END)
    assert first.frame.reading.values == {RETRIES: 8, "queue.running": 2}
    later = [replace(reports[0], reading=reading(6)), reports[1]]
    second = made(later, first.kept, Reading(), END)
    assert second.frame.reading.values == {RETRIES: 1, "queue.running": 2}


def test_what_a_process_counted_stays_when_it_leaves_and_its_gauges_go() -> None:
    left = a_report("a", reading=reading(5), state=ProcessState.LEFT)
    tick = made([left, a_report("b", reading=reading(3))], Kept(), Reading(), END)
    assert tick.gone == ("a",)
    assert tick.frame.reading.values == {RETRIES: 8, "queue.running": 1}
    again = made([a_report("b", reading=reading(4))], tick.kept, Reading(), END)
    assert again.frame.reading.values == {RETRIES: 1, "queue.running": 1}


def test_a_process_that_died_is_counted_as_lost_once() -> None:
    died = a_report("a", reading=reading(5), state=ProcessState.DIED)
    tick = made([died], Kept(), Reading(), END)
    assert tick.frame.reading.values["process.lost{role=worker}"] == 1
    again = made([], tick.kept, Reading(), END)
    assert "process.lost{role=worker}" not in again.frame.reading.values


def test_a_process_that_is_silent_is_lost_once_and_its_gauges_do_not_linger() -> None:
    silent = a_report("a", at=START - SILENT_S - 1, reading=reading(5))
    tick = made([silent], Kept(), Reading(), END)
    assert tick.lost == ("a",)
    assert tick.frame.reading.values == {RETRIES: 5, "process.lost{role=worker}": 1}
    lost = replace(silent, state=ProcessState.LOST)
    assert made([lost], tick.kept, Reading(), END).frame.reading.values == {}


def test_a_lost_process_that_speaks_again_goes_on_where_it_was() -> None:
    silent = a_report("a", at=START - SILENT_S - 1, reading=reading(5))
    tick = made([silent], Kept(), Reading(), END)
    back = replace(silent, at=END, reading=reading(9))
    assert made([back], tick.kept, Reading(), END).frame.reading.values[RETRIES] == 4


def test_one_that_was_never_heard_of_again_is_forgotten_and_its_counts_are_not() -> None:
    old = a_report("a", at=START - FORGOTTEN_S - 1, reading=reading(5), state=ProcessState.LOST)
    tick = made([old], Kept(), Reading(), END)
    assert (tick.gone, tick.lost) == (("a",), ())
    assert tick.kept.ended.values[RETRIES] == 5


def test_standing_counts_each_process_once_and_only_living_gauges() -> None:
    kept = Kept(ended=Reading({RETRIES: 10}))
    silent = a_report("b", at=START - SILENT_S - 1, reading=reading(2))
    found = standing([a_report("a", reading=reading(1)), silent], kept, Reading(), END)
    assert found.values == {RETRIES: 13, "queue.running": 1}


def test_the_highest_and_the_lowest_of_the_processes_are_not_added_up() -> None:
    reports = [
        a_report("a", reading=Reading({"machine.disk_free": 0.2, "process.memory": 5})),
        a_report("b", reading=Reading({"machine.disk_free": 0.7, "process.memory": 9})),
    ]
    found = made(reports, Kept(), Reading(), END).frame.reading.values
    assert found == {"machine.disk_free": 0.2, "process.memory": 9}


class House:
    def __init__(self) -> None:
        self.store = MemoryMonitoring()
        self.events: list[DomainEvent] = []
        self.samples = 0
        self.keeper = self.another_keeper()

    def another_keeper(self) -> Keeper:
        return Keeper(
            frames=self.store,
            sample=self.sample,
            draw=DashboardGenerator().drawn,
            publish=self.events.append,
        )

    def sample(self) -> dict[str, float]:
        self.samples += 1
        return {"queue.dead_letters": 1.0}


@pytest.fixture
def house() -> House:
    return House()


def test_of_two_that_look_at_the_same_time_one_makes_the_frame(house: House) -> None:
    other = house.another_keeper()
    made = [keeper.tick(Timestamp(START + 3)) for keeper in (house.keeper, other, house.keeper)]
    assert [frame is not None for frame in made] == [True, False, False]
    assert house.samples == 1  # the queue is not asked for nothing


def test_frames_go_on_when_a_clock_was_set_back_or_was_far_ahead(house: House) -> None:
    times = [START + 3, START + 7203, START + 13, START + 14, START + 23]
    made = [house.keeper.tick(Timestamp(at_s)) is not None for at_s in times]
    assert made == [True, True, True, False, True]


def test_frames_are_left_to_whoever_is_a_few_seconds_ahead(house: House) -> None:
    other = house.another_keeper()
    assert other.tick(Timestamp(START + 23)) is not None
    assert house.keeper.tick(Timestamp(START + 3)) is None


def test_a_frame_is_of_the_ten_seconds_that_ended(house: House) -> None:
    frame = house.keeper.tick(Timestamp(START + 13))
    assert frame is not None
    assert frame.start == Timestamp(START)


def test_everything_in_a_frame_is_published(house: House) -> None:
    house.store.report(
        a_report(reading=Reading({RETRIES: 4}, {"queue.wait{priority=low}": Sketch.of([1, 2])}))
    )
    house.keeper.tick(Timestamp(START + 3))
    found = {
        e.series: (e.metric_name, e.value) for e in house.events if isinstance(e, MetricRecorded)
    }
    assert found == {
        RETRIES: (RETRIES, 4),
        "queue.wait{priority=low}": ("queue.wait", 2),
        "queue.dead_letters": ("queue.dead_letters", 1),
    }


def test_frames_become_coarser_ones_and_the_oldest_are_forgotten(house: House) -> None:
    begin = START - START % 3600
    total = 0
    for number in range(3 * 360 + 1):
        total += number % 3
        house.store.report(a_report(at=begin + 10 * number, reading=Reading({RETRIES: total})))
        house.keeper.tick(Timestamp(begin + 10 * number))
    everything = (Timestamp(0.0), Timestamp(9e9))
    fine = house.store.between(10, *everything)
    assert fine[0].start.unix_s >= begin + 3 * 3600 - STEPS[10] - 70
    hours = house.store.between(3600, *everything)
    # the very first frame ends at the beginning, and is of the hour before
    assert [frame.start.unix_s for frame in hours][1:] == [begin, begin + 3600, begin + 7200]
    assert [frame.reading.values[RETRIES] for frame in hours[1:]] == [360, 360, 360]
    assert all(frame.drawn == DashboardGenerator().drawn(frame).drawn for frame in hours + fine)
    assert len(house.store.between(60, *everything)) == 181
    assert len(house.store.between(600, *everything)) == 19


def test_a_pause_of_the_program_is_rolled_up_afterwards(house: House) -> None:
    begin = START - START % 3600
    for offset in (10, 20, 7000, 7010, 7030):
        house.store.report(a_report(at=begin + offset, reading=Reading({RETRIES: offset})))
        house.keeper.tick(Timestamp(begin + offset))
    minutes = house.store.between(60, Timestamp(0.0), Timestamp(9e9))
    assert sum(frame.reading.values[RETRIES] for frame in minutes) == 7010


def test_a_gauge_over_several_frames_is_the_average() -> None:
    frames = [a_frame(START, {"queue.running": 1}), a_frame(START + 10, {"queue.running": 3})]
    (one,) = rolled_up(frames, 600)
    assert one.reading.values == {"queue.running": 2}


@pytest.mark.parametrize(
    ("span_s", "step_s"),
    [
        (600, 10),
        (3600, 60),
        (86_400, 600),
        (6 * 86_400, 3600),
        (30 * 86_400, 21_600),
        (3e7, 86_400),
    ],
)
def test_a_long_stretch_is_shown_in_coarse_steps(span_s: float, step_s: int) -> None:
    assert step_for(span_s, points=180) == step_s
