"""What monitoring needs from outside, as small protocols; adapters satisfy them by shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.alerts import AlertState
from stretto.contexts.monitoring.frames import Frame, Kept, ProcessReport, Tick
from stretto.contexts.monitoring.notices import AlertsChanged, Changed


class Reports(Protocol):
    """What the processes say of themselves. All methods raise StorageUnavailable."""

    def report(self, process: ProcessReport) -> None:
        """Replaces what the process reported before. One that died and was lost before has left:
        it is not lost twice."""

    def processes(self) -> tuple[ProcessReport, ...]: ...

    def standing(self) -> tuple[tuple[ProcessReport, ...], Kept]:
        """The reports and what the last tick kept, of the same moment."""


class Frames(Protocol):
    """The series. All methods raise StorageUnavailable."""

    def tick(
        self, at: Timestamp, make: Callable[[Sequence[ProcessReport], Kept], Tick]
    ) -> Tick | None:
        """In one transaction, unless there was a tick at ``at`` or later, by ``AHEAD_S`` at most:
        None then. The frame replaces one of the same seconds, from before a clock was set back."""

    def between(self, step_s: int, start: Timestamp, end: Timestamp) -> tuple[Frame, ...]:
        """The frames of a step that begin in [start, end), in order."""

    def newest(self, step_s: int) -> Timestamp | None:
        """When the newest frame of the step begins."""

    def add(self, frames: Sequence[Frame], forget: Sequence[tuple[int, Timestamp]]) -> None:
        """Keep ``frames``, of which one that is there stays as it is, and delete those of a step
        that begin before a moment."""


class AlertStates(Protocol):
    """What is known of each alert, the same for all evaluators."""

    def all(self) -> dict[str, AlertState]:
        """By the name of the rule."""

    def change(
        self,
        changes: Sequence[Changed],
        tell: Callable[[Sequence[Changed]], Iterable[AlertsChanged]],
    ) -> tuple[Changed, ...]:
        """Make those changes whose ``before`` still is, and return them. What ``tell`` makes of
        them goes into the outbox in the same transaction."""

    def note(self, values: Mapping[str, float | None]) -> None:
        """What the figures of rules are just now, for whoever looks; nothing depends on it."""


class Notifier(Protocol):
    """Tells people. Raises StrettoError when they could not be told: they are told again."""

    def notify(self, notice: AlertsChanged, *, notice_id: str) -> None: ...
