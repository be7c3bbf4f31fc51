"""Reports, frames and alerts in tables of the database, so that all processes know the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeVar

from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.core.text import storable
from stretto.contexts.monitoring.adapters.json_readings import (
    decoded,
    decoded_frame,
    encoded,
    encoded_frame,
)
from stretto.contexts.monitoring.alerts import AlertState, AlertStatus
from stretto.contexts.monitoring.frames import (
    AHEAD_S,
    Frame,
    Kept,
    ProcessReport,
    ProcessState,
    Tick,
)
from stretto.contexts.monitoring.notices import AlertsChanged, Changed

Result = TypeVar("Result")


class Connection(Protocol):
    """SQL with ``:name`` where a value belongs, the same for both databases."""

    def execute(self, statement: str, values: Mapping[str, Any] = ..., /) -> Any: ...

    def executemany(self, statement: str, rows: Sequence[Mapping[str, Any]], /) -> object: ...


class Database(Protocol):
    """Either of the two databases; ``transact`` may do its work again after a conflict."""

    def read(self) -> AbstractContextManager[Any]: ...

    def transact(self, work: Callable[[Any], Result], /) -> Result: ...


class Outbox(Protocol):
    """Where events go that have to survive a crash."""

    def append(self, connection: Any, stream: str, /, *events: DomainEvent) -> None: ...


class SqlReports:
    """The port Reports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(self, process: ProcessReport) -> None:
        row = {
            "id": process.id,
            "role": process.role,
            "host": storable(process.host),
            "pid": process.pid,
            "at": process.at.unix_s,
            "state": process.state.value,
            "reading": encoded(process.reading),
        }
        self._database.transact(lambda c: c.execute(_REPORT, row).rowcount)

    def processes(self) -> tuple[ProcessReport, ...]:
        return self.standing()[0]

    def standing(self) -> tuple[tuple[ProcessReport, ...], Kept]:
        with self._database.read() as connection:
            return _standing(connection)


class SqlFrames:
    """The port Frames."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tick(
        self, at: Timestamp, make: Callable[[Sequence[ProcessReport], Kept], Tick]
    ) -> Tick | None:
        def work(connection: Connection) -> Tick | None:
            # Whoever changes the row makes the tick; others wait here, and find that it is made.
            row = {"at": at.unix_s, "beyond": at.unix_s + AHEAD_S}
            if connection.execute(_CLAIM, row).rowcount != 1:
                return None
            tick = make(*_standing(connection))
            kept = {"ended": encoded(tick.kept.ended), "told": encoded(tick.kept.told)}
            connection.execute(_KEEP, kept)
            connection.execute(_REPLACE_FRAME, _frame_row(tick.frame))
            if tick.gone:
                connection.executemany(_GONE, [{"id": one} for one in tick.gone])
            if tick.lost:
                connection.executemany(_LOST, [{"id": one} for one in tick.lost])
            return tick

        return self._database.transact(work)

    def between(self, step_s: int, start: Timestamp, end: Timestamp) -> tuple[Frame, ...]:
        values = {"step": step_s, "start": start.unix_s, "end": end.unix_s}
        with self._database.read() as connection:
            rows = connection.execute(_BETWEEN, values).fetchall()
        return tuple(decoded_frame(step_s, starts_at, text) for starts_at, text in rows)

    def newest(self, step_s: int) -> Timestamp | None:
        with self._database.read() as connection:
            (newest,) = connection.execute(_NEWEST, {"step": step_s}).fetchone()
        return None if newest is None else Timestamp(newest)

    def add(self, frames: Sequence[Frame], forget: Sequence[tuple[int, Timestamp]]) -> None:
        def work(connection: Connection) -> None:
            if frames:
                connection.executemany(_ADD_FRAME, [_frame_row(frame) for frame in frames])
            for step_s, before in forget:
                connection.execute(_FORGET, {"step": step_s, "before": before.unix_s})

        self._database.transact(work)


class SqlAlertStates:
    """The port AlertStates."""

    def __init__(self, database: Database, *, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def all(self) -> dict[str, AlertState]:
        with self._database.read() as connection:
            rows = connection.execute(_STATES).fetchall()
        return {row[0]: _state(*row) for row in rows}

    def change(
        self,
        changes: Sequence[Changed],
        tell: Callable[[Sequence[Changed]], Iterable[AlertsChanged]],
    ) -> tuple[Changed, ...]:
        if not changes:
            return ()

        def work(connection: Connection) -> tuple[Changed, ...]:
            ordered = sorted(changes, key=lambda one: one.after.rule)  # no two wait for each other
            made = tuple(c for c in ordered if connection.execute(_CHANGE, _row(c)).rowcount == 1)
            for notice in tell(made):
                self._outbox.append(connection, f"alerts:{notice.group}", notice)
            return made

        return self._database.transact(work)

    def note(self, values: Mapping[str, float | None]) -> None:
        rows = [{"rule": rule, "value": values[rule]} for rule in sorted(values)]
        if rows:
            self._database.transact(lambda c: c.executemany(_NOTE, rows))


def _standing(connection: Connection) -> tuple[tuple[ProcessReport, ...], Kept]:
    """One statement: a process that ends meanwhile is counted once."""
    kept, reports = Kept(), []
    for name, role, host, pid, at, state, first, second in connection.execute(_STANDING).fetchall():
        if not state:
            kept = Kept(ended=decoded(first), told=decoded(second))
            continue
        reports.append(
            ProcessReport(
                id=name,
                role=role,
                host=host,
                pid=pid,
                at=Timestamp(at),
                reading=decoded(first),
                state=ProcessState(state),
            )
        )
    return tuple(reports), kept


def _frame_row(frame: Frame) -> dict[str, Any]:
    return {
        "step": frame.step_s,
        "start": frame.start.unix_s,
        "reading": encoded_frame(frame),
    }


def _state(  # the columns of _STATES
    rule: str,
    status: str,
    since: float,
    value: float | None,
    incidents: int,
    silenced_until: float,
    told: int,
    version: int,
) -> AlertState:
    return AlertState(
        rule=rule,
        status=AlertStatus(status),
        since=Timestamp(since),
        value=value,
        incidents=incidents,
        silenced_until=Timestamp(silenced_until),
        told=bool(told),
        version=version,
    )


def _row(change: Changed) -> dict[str, Any]:
    after = change.after
    return {
        "rule": after.rule,
        "status": after.status.value,
        "since": after.since.unix_s,
        "value": after.value,
        "incidents": after.incidents,
        "silenced_until": after.silenced_until.unix_s,
        "told": int(after.told),
        "version": after.version,
        "seen": change.before.version,
    }


_REPORT: Final = """
    INSERT INTO metric_process (id, role, host, pid, reported_at, state, reading)
    VALUES (:id, :role, :host, :pid, :at, :state, :reading)
    ON CONFLICT (id) DO UPDATE SET reported_at = excluded.reported_at, reading = excluded.reading,
        state = CASE WHEN metric_process.state = 'lost' AND excluded.state = 'died' THEN 'left'
                ELSE excluded.state END
"""
_STANDING: Final = """
    SELECT id, role, host, pid, reported_at, state, reading, '' FROM metric_process
    UNION ALL SELECT name, '', '', 0, ticked_at, '', ended, told FROM metric_kept
"""
_CLAIM: Final = """
    INSERT INTO metric_kept (name, ticked_at, ended, told) VALUES ('all', :at, '', '')
    ON CONFLICT (name) DO UPDATE SET ticked_at = excluded.ticked_at
    WHERE metric_kept.ticked_at < excluded.ticked_at OR metric_kept.ticked_at > :beyond
"""
_KEEP: Final = "UPDATE metric_kept SET ended = :ended, told = :told WHERE name = 'all'"
_GONE: Final = "DELETE FROM metric_process WHERE id = :id"
_LOST: Final = "UPDATE metric_process SET state = 'lost' WHERE id = :id AND state = 'running'"
_ADD_FRAME: Final = """
    INSERT INTO metric_frame (step_s, starts_at, reading) VALUES (:step, :start, :reading)
    ON CONFLICT (step_s, starts_at) DO NOTHING
"""
_REPLACE_FRAME: Final = """
    INSERT INTO metric_frame (step_s, starts_at, reading) VALUES (:step, :start, :reading)
    ON CONFLICT (step_s, starts_at) DO UPDATE SET reading = excluded.reading
"""
_BETWEEN: Final = """
    SELECT starts_at, reading FROM metric_frame
    WHERE step_s = :step AND starts_at >= :start AND starts_at < :end ORDER BY starts_at
"""
_NEWEST: Final = "SELECT max(starts_at) FROM metric_frame WHERE step_s = :step"
_FORGET: Final = "DELETE FROM metric_frame WHERE step_s = :step AND starts_at < :before"
_STATES: Final = """
    SELECT rule, status, since, value, incidents, silenced_until, told, version FROM alert_state
"""
_CHANGE: Final = """
    INSERT INTO alert_state
        (rule, status, since, value, incidents, silenced_until, told, version)
    VALUES (:rule, :status, :since, :value, :incidents, :silenced_until, :told, :version)
    ON CONFLICT (rule) DO UPDATE SET status = excluded.status, since = excluded.since,
        value = excluded.value, incidents = excluded.incidents, told = excluded.told,
        silenced_until = excluded.silenced_until, version = excluded.version
    WHERE alert_state.version = :seen
"""
_NOTE: Final = """
    INSERT INTO alert_state
        (rule, status, since, value, incidents, silenced_until, told, version)
    VALUES (:rule, 'calm', 0, :value, 0, 0, 0, 0)
    ON CONFLICT (rule) DO UPDATE SET value = excluded.value
"""
