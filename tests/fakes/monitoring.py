"""The in-memory twin of the tables of monitoring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Lock

from stretto.contexts.core.events import AlertsChanged
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.alerts import AlertState
from stretto.contexts.monitoring.frames import (
    AHEAD_S,
    Frame,
    Kept,
    ProcessReport,
    ProcessState,
    Tick,
)
from stretto.contexts.monitoring.notices import Changed


class MemoryMonitoring:
    """Satisfies Reports, Frames and AlertStates; ``told`` is what went into the outbox."""

    def __init__(self) -> None:
        self._processes: dict[str, ProcessReport] = {}
        self._kept = Kept()
        self._ticked_at = 0.0
        self._frames: dict[tuple[int, float], Frame] = {}
        self._states: dict[str, AlertState] = {}
        self._lock = Lock()
        self.told: list[AlertsChanged] = []

    def report(self, process: ProcessReport) -> None:
        with self._lock:
            before = self._processes.get(process.id)
            lost = before is not None and before.state is ProcessState.LOST
            if lost and process.state is ProcessState.DIED:
                process = replace(process, state=ProcessState.LEFT)
            self._processes[process.id] = process

    def processes(self) -> tuple[ProcessReport, ...]:
        return tuple(self._processes.values())

    def standing(self) -> tuple[tuple[ProcessReport, ...], Kept]:
        with self._lock:
            return self.processes(), self._kept

    def tick(
        self, at: Timestamp, make: Callable[[Sequence[ProcessReport], Kept], Tick]
    ) -> Tick | None:
        with self._lock:
            if 0 <= self._ticked_at - at.unix_s <= AHEAD_S:
                return None
            self._ticked_at = at.unix_s
            tick = make(self.processes(), self._kept)
            self._kept = tick.kept
            self._frames[tick.frame.step_s, tick.frame.start.unix_s] = tick.frame
            for one in tick.gone:
                del self._processes[one]
            for one in tick.lost:
                self._processes[one] = replace(self._processes[one], state=ProcessState.LOST)
            return tick

    def between(self, step_s: int, start: Timestamp, end: Timestamp) -> tuple[Frame, ...]:
        found = [f for (step, _), f in self._frames.items() if step == step_s]
        inside = [f for f in found if start <= f.start < end]
        return tuple(sorted(inside, key=lambda f: f.start.unix_s))

    def newest(self, step_s: int) -> Timestamp | None:
        starts = [start for step, start in self._frames if step == step_s]
        return Timestamp(max(starts)) if starts else None

    def add(self, frames: Sequence[Frame], forget: Sequence[tuple[int, Timestamp]]) -> None:
        for frame in frames:
            self._add(frame)
        for step_s, before in forget:
            old = [k for k in self._frames if k[0] == step_s and k[1] < before.unix_s]
            for key in old:
                del self._frames[key]

    def _add(self, frame: Frame) -> None:
        self._frames.setdefault((frame.step_s, frame.start.unix_s), frame)

    def all(self) -> dict[str, AlertState]:
        return dict(self._states)

    def change(
        self,
        changes: Sequence[Changed],
        tell: Callable[[Sequence[Changed]], Iterable[AlertsChanged]],
    ) -> tuple[Changed, ...]:
        with self._lock:
            made = tuple(c for c in changes if self._is_current(c.before))
            self._states.update({c.after.rule: c.after for c in made})
            if made:
                self.told += tell(made)
            return made

    def note(self, values: Mapping[str, float | None]) -> None:
        with self._lock:
            for rule, value in values.items():
                state = self._states.get(rule) or AlertState(rule=rule)
                self._states[rule] = replace(state, value=value)

    def _is_current(self, seen: AlertState) -> bool:
        there = self._states.get(seen.rule)
        return there is None or there.version == seen.version
