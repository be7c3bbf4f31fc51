"""The points of the charts are computed once of each frame, and are those of the frames."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.aggregation import Figure, Measure, series_of
from stretto.contexts.monitoring.charting import KEPT, ChartPoints
from stretto.contexts.monitoring.dashboards import DASHBOARD, DashboardGenerator
from stretto.contexts.monitoring.definitions import METRICS
from stretto.contexts.monitoring.frames import LONGEST_S, MOST_POINTS, Drawn, Frame, Point, step_for
from stretto.contexts.monitoring.model import MetricKind
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.monitoring.sketch import Sketch
from tests.fakes.monitoring import MemoryMonitoring
from tests.unit.monitoring.examples import START, a_frame

RETRIES = "processing.retries"


@dataclass
class Watched(MemoryMonitoring):
    """Counts the frames that are read."""

    read: list[float] = field(default_factory=list)
    down: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def between(self, step_s: int, start: Timestamp, end: Timestamp) -> tuple[Frame, ...]:
        if self.down:
            raise StorageUnavailable
        found = super().between(step_s, start, end)
        self.read += [frame.start.unix_s for frame in found]
        return found


def retries(frame: Frame) -> Point:
    return (frame.reading.values.get(RETRIES),)


@pytest.fixture
def store() -> Watched:
    return Watched()


@pytest.fixture
def points(store: Watched) -> ChartPoints:
    return ChartPoints(store, retries)


def frames(*numbers: int) -> list[Frame]:
    return [a_frame(START + 10 * n, {RETRIES: float(n)}) for n in numbers]


def looked(points: ChartPoints, first: int, last: int) -> dict[int, float | None]:
    """The numbers of the frames that are there."""
    found = points.between(10, Timestamp(START + 10 * first), Timestamp(START + 10 * last))
    there = {round((at - START) / 10): point[0] for at, point in found.items()}
    return {number: there[number] for number in range(first, last) if number in there}


def test_a_frame_is_read_once_however_often_somebody_looks(
    store: Watched, points: ChartPoints
) -> None:
    store.add(frames(0, 1, 2), [])
    for _ in range(3):
        assert looked(points, 0, 5) == {0: 0, 1: 1, 2: 2}
    assert store.read == [START, START + 10, START + 20]


def test_what_is_new_is_there_with_the_next_look(store: Watched, points: ChartPoints) -> None:
    store.add(frames(0, 1), [])
    looked(points, 0, 5)
    store.add(frames(2, 4), [])
    assert looked(points, 1, 6) == {1: 1, 2: 2, 4: 4}
    store.add(frames(5), [])
    assert looked(points, 1, 6) == {1: 1, 2: 2, 4: 4, 5: 5}
    assert len(store.read) == 5


def test_a_longer_stretch_than_before_reads_what_lies_before(
    store: Watched, points: ChartPoints
) -> None:
    store.add(frames(*range(9)), [])
    looked(points, 6, 9)
    assert looked(points, 2, 9) == {n: n for n in range(2, 9)}
    assert looked(points, 5, 8) == {5: 5, 6: 6, 7: 7}
    assert sorted(store.read) == [START + 10 * n for n in range(2, 9)]


def test_a_stretch_that_lies_elsewhere_is_read_by_itself(
    store: Watched, points: ChartPoints
) -> None:
    store.add(frames(*range(40)), [])
    looked(points, 30, 40)
    assert looked(points, 2, 5) == {2: 2, 3: 3, 4: 4}
    assert looked(points, 33, 40) == {n: n for n in range(33, 40)}


def test_no_more_is_remembered_than_the_longest_chart_needs(
    store: Watched, points: ChartPoints
) -> None:
    store.add(frames(*range(3 * KEPT)), [])
    for last in range(KEPT, 3 * KEPT, 50):
        found = points.between(10, Timestamp(START), Timestamp(START + 10 * last))
        assert len(found) <= KEPT


def test_many_who_look_at_the_same_time_read_a_frame_once(
    store: Watched, points: ChartPoints
) -> None:
    store.add(frames(*range(50)), [])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: looked(points, 0, 50), range(32)))
    assert all(answer == answers[0] for answer in answers)
    assert len(store.read) == 50


def test_after_trouble_with_the_database_all_points_are_there_again(
    store: Watched, points: ChartPoints
) -> None:
    store.add(frames(0, 1), [])
    looked(points, 1, 5)
    store.down = True
    with pytest.raises(StorageUnavailable):
        looked(points, 0, 5)
    store.down = False
    assert looked(points, 0, 5) == {0: 0, 1: 1}


def test_the_charts_show_what_each_figure_says_by_itself() -> None:
    values = {key: 3.0 for one in METRICS for key in one.series()}
    timed = {
        key: Sketch.of([0.0, 0.1, 0.2 + number, 7.0])
        for number, one in enumerate(METRICS)
        if one.kind is MetricKind.TIMER
        for key in one.series()
    }
    frame = replace(a_frame(START), reading=Reading(values, timed))
    generator = DashboardGenerator()
    start, end = Timestamp(START - 10), Timestamp(START + 10)
    data = generator.data({START: generator.point(frame)}, step_s=10, start=start, end=end)
    lines = [line for row in data["rows"] for chart in row["charts"] for line in chart["lines"]]
    asked = [
        line.figure
        for row in generator.dashboard.rows
        for chart in row.charts
        for line in chart.lines
    ]
    alone = [
        series_of([figure], [frame], step_s=10, start=start, end=end)[0].points for figure in asked
    ]
    assert [line["values"] for line in lines] == [
        [None, pytest.approx(points[1][1], rel=1e-5)] for points in alone
    ]
    assert json.dumps(data)


class Shut(dict[str, Sketch]):
    """Timers that nobody may open."""

    def __getitem__(self, key: str) -> Sketch:
        raise AssertionError(key)


def test_what_a_frame_is_in_the_charts_is_computed_when_it_is_made_and_not_when_it_is_shown() -> (
    None
):
    frame = a_frame(START, {RETRIES: 3.0}, gateway_latency=[0.5, 2.0])
    drawn = DashboardGenerator().drawn(frame)
    shut = replace(drawn, reading=Reading(frame.reading.values, Shut(frame.reading.sketches)))
    assert DashboardGenerator().point(shut) == DashboardGenerator().point(frame)


def test_the_point_that_another_program_kept_for_other_charts_is_not_shown() -> None:
    frame = a_frame(START, gateway_latency=[0.5, 2.0])
    of_others = replace(frame, drawn=Drawn("others", (1.0, 2.0)))
    assert DashboardGenerator().point(of_others) == DashboardGenerator().point(frame)


def test_charts_that_were_changed_have_points_of_their_own() -> None:
    rows = DASHBOARD.rows[:-1]
    frame = a_frame(START, gateway_latency=[0.5, 2.0])
    fewer = DashboardGenerator(replace(DASHBOARD, rows=rows))
    assert fewer.point(DashboardGenerator().drawn(frame)) == fewer.point(frame)
    assert len(fewer.point(frame)) < len(DashboardGenerator().point(frame))


def test_several_measures_of_a_timer_are_of_the_same_values() -> None:
    frame = a_frame(START, gateway_latency=[0.5] * 50 + [2.0] * 50)
    wanted = [
        Figure(metric="gateway.latency", measure=one)
        for one in (Measure.P50, Measure.P95, Measure.AVERAGE, Measure.RATE)
    ]
    found = series_of(wanted, [frame], step_s=10, start=Timestamp(START), end=Timestamp(START + 10))
    assert [one.points[0][1] for one in found] == [
        pytest.approx(0.5, rel=0.01),
        pytest.approx(2.0, rel=0.01),
        pytest.approx(1.25),
        10.0,
    ]


@pytest.mark.parametrize("days", [0.01, 1, 1.5, 7, 8, 30, 45, 46, 180, 400])
def test_however_long_a_stretch_is_the_points_are_few_and_not_too_few(days: float) -> None:
    points = days * 86_400 / step_for(days * 86_400, points=180)
    assert 30 <= points <= MOST_POINTS
    assert days * 86_400 <= LONGEST_S
