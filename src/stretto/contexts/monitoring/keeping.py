"""Every ten seconds: what the processes say becomes a frame, frames become coarser ones, and the
oldest are forgotten. However many processes do this, one of them makes each frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from stretto.contexts.core.bus import Publish
from stretto.contexts.core.events import MetricRecorded
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.definitions import PROCESSES
from stretto.contexts.monitoring.frames import (
    AHEAD_S,
    STEP_S,
    STEPS,
    Frame,
    Kept,
    ProcessReport,
    ProcessState,
    Tick,
    rolled_up,
    start_of,
)
from stretto.contexts.monitoring.model import (
    OTHER,
    Metric,
    MetricName,
    MetricValue,
    series_key,
    split_key,
)
from stretto.contexts.monitoring.ports import Frames
from stretto.contexts.monitoring.reading import Reading, together

SILENT_S: Final = 30.0
"""A process that has not reported for so long is lost; its gauges count no more."""

FORGOTTEN_S: Final = 7 * 86_400.0
"""What a lost process counted is its last word after so long."""

Sample = Callable[[], Mapping[str, float]]
Draw = Callable[[Frame], Frame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """``sample`` asks for the gauges that no process has of its own, such as the depth of the
    queue; it is asked by whoever makes the frame. ``draw`` gives each frame what the charts show
    of it."""

    frames: Frames
    sample: Sample
    draw: Draw
    publish: Publish

    def tick(self, now: Timestamp) -> Frame | None:
        """The frame that ended last, unless somebody has made it. Raises StorageUnavailable."""
        end = start_of(now, STEP_S)
        start = Timestamp(end.unix_s - STEP_S)
        newest = self.frames.newest(STEP_S)
        if newest is not None and 0 <= newest.unix_s - start.unix_s <= AHEAD_S:
            return None
        sampled = Reading(self.sample())
        tick = self.frames.tick(end, lambda reports, kept: self._made(reports, kept, sampled, end))
        if tick is None:
            return None
        self._roll_up(end)
        for metric in metrics_of(tick.frame, end):
            self.publish(_recorded(metric))
        return tick.frame

    def _made(
        self, reports: Sequence[ProcessReport], kept: Kept, sampled: Reading, end: Timestamp
    ) -> Tick:
        tick = made(reports, kept, sampled, end)
        return replace(tick, frame=self.draw(tick.frame))

    def _roll_up(self, now: Timestamp) -> None:
        forget = [(step, Timestamp(now.unix_s - kept_s)) for step, kept_s in STEPS.items()]
        for finer, step in pairwise(STEPS):
            newest = self.frames.newest(step)
            known_until_s = now.unix_s - STEPS[finer] if newest is None else newest.unix_s + step
            complete = start_of(now, step)
            fine: Sequence[Frame] = ()
            if known_until_s < complete.unix_s:
                fine = self.frames.between(finer, Timestamp(known_until_s), complete)
            if fine:
                self.frames.add([self.draw(one) for one in rolled_up(fine, step)], forget)


def made(reports: Sequence[ProcessReport], kept: Kept, sampled: Reading, end: Timestamp) -> Tick:
    """The tick at ``end``."""
    over = [one for one in reports if one.state in {ProcessState.LEFT, ProcessState.DIED}]
    silent = [one for one in reports if one not in over and is_silent(one, end)]
    lost = [one for one in silent if one.state is ProcessState.RUNNING]
    forgotten = [one for one in silent if end.unix_s - one.at.unix_s > FORGOTTEN_S]
    died = [one for one in over if one.state is ProcessState.DIED]
    gone = [*over, *forgotten]
    ended = together(
        [kept.ended, _losses([*lost, *died]), *(one.reading.counters() for one in gone)]
    )
    running = [one for one in reports if one not in gone]
    told = together([ended, *(one.reading.counters() for one in running)])
    alive = [one for one in running if one not in silent]
    gauges = together([sampled, *(one.reading.gauges() for one in alive)])
    grown = told.since(kept.told)
    frame = Frame(
        step_s=STEP_S,
        start=Timestamp(end.unix_s - STEP_S),
        reading=Reading({**grown.values, **gauges.values}, grown.sketches),
    )
    return Tick(
        frame=frame,
        kept=Kept(ended=ended, told=told),
        gone=tuple(one.id for one in gone),
        lost=tuple(one.id for one in lost if one not in gone),
    )


def standing(
    reports: Iterable[ProcessReport], kept: Kept, sampled: Reading, now: Timestamp
) -> Reading:
    """All series as they stand now: counters never fall, gauges are those of the living."""
    reports = tuple(reports)
    alive = [one for one in reports if not is_silent(one, now) and not _is_over(one)]
    return together(
        [
            kept.ended,
            *(one.reading.counters() for one in reports),
            sampled,
            *(one.reading.gauges() for one in alive),
        ]
    )


def is_silent(process: ProcessReport, now: Timestamp) -> bool:
    return now.unix_s - process.at.unix_s > SILENT_S


def _is_over(process: ProcessReport) -> bool:
    return process.state in {ProcessState.LEFT, ProcessState.DIED}


def _losses(processes: Iterable[ProcessReport]) -> Reading:
    values: dict[str, float] = {}
    for process in processes:
        role = process.role if process.role in PROCESSES else OTHER
        key = series_key("process.lost", {"role": role})
        values[key] = values.get(key, 0.0) + 1
    return Reading(values)


def metrics_of(frame: Frame, at: Timestamp) -> list[Metric]:
    """What a frame says, one measurement for each series; of a timer how many were recorded."""
    counts = {key: sketch.count for key, sketch in frame.reading.sketches.items()}
    metrics = []
    for key, value in {**frame.reading.values, **counts}.items():
        name, labels = split_key(key)
        made = MetricValue(at=at, value=value)
        metrics.append(Metric(name=MetricName(name), labels=labels, value=made))
    return metrics


def _recorded(metric: Metric) -> MetricRecorded:
    return MetricRecorded(
        at=metric.value.at,
        metric_name=metric.name.value,
        series=metric.series,
        value=metric.value.value,
    )
