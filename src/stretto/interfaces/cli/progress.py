"""Shows how far the work is: a bar on a terminal, a line per ten percent elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol, TextIO

from stretto.contexts.processing.model import ProcessingProgress
from stretto.interfaces.cli.printing import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

STEP_PERCENT = 10
MINIMUM_BETWEEN_LINES_S = 2.0


class Display(Protocol):
    """One for all files of a command. Names and messages are shown on one line, whatever is in
    them."""

    def begin(self, name: str) -> None: ...

    def update(self, progress: ProcessingProgress) -> None: ...

    def end(self) -> None: ...

    def say(self, message: str) -> None: ...

    def aside(self) -> AbstractContextManager[None]:
        """Inside, somebody else may write to the same terminal."""


class Silence:
    """For --quiet: shows nothing, but what must be said is said."""

    def begin(self, name: str) -> None:
        pass

    def update(self, progress: ProcessingProgress) -> None:
        pass

    def end(self) -> None:
        pass

    def say(self, message: str) -> None:
        pass

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()


class Lines:
    """Plain lines for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._name = ""
        self._next_percent = STEP_PERCENT
        self._last_line = 0.0

    def begin(self, name: str) -> None:
        self._name = name
        self._next_percent = STEP_PERCENT
        self.say(f"{name}: started")

    def update(self, progress: ProcessingProgress) -> None:
        if not self._name:  # recalled: nothing was begun
            return
        percent = int(progress.fraction * 100)
        now = time.monotonic()
        if percent < self._next_percent or now - self._last_line < MINIMUM_BETWEEN_LINES_S:
            return
        self._next_percent = percent - percent % STEP_PERCENT + STEP_PERCENT
        self._last_line = now
        self.say(f"{self._name}: {percent} % ({clock(progress.done_s)} done)")

    def end(self) -> None:
        self._name = ""

    def say(self, message: str) -> None:
        print(printable(message), file=self._stream, flush=True)

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()


class Bar:
    """A bar with audio time, speed and remaining time, by rich."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._task: TaskID | None = None
        self._started = 0.0

    def begin(self, name: str) -> None:
        self._started = time.monotonic()
        self._task = self._progress.add_task(printable(name), total=None, speed="", audio="")

    def update(self, progress: ProcessingProgress) -> None:
        if self._task is None:
            return
        elapsed_s = max(0.001, time.monotonic() - self._started)
        self._progress.update(
            self._task,
            total=progress.total_s,
            completed=progress.done_s,
            audio=f"{clock(progress.done_s)} of {clock(progress.total_s or 0.0)}",
            speed=f"{progress.done_s / elapsed_s:.0f}×",
        )

    def end(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def say(self, message: str) -> None:
        self._console.print(printable(message), highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()


@contextmanager
def display(stream: TextIO, *, quiet: bool) -> Iterator[Display]:
    """The display that suits the stream."""
    if quiet:
        yield Silence()
    elif not stream.isatty():
        yield Lines(stream)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(file=stream)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[audio]}  {task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
        )
        # What goes to standard output is a result: rich must not take it for its own console.
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
            yield Bar(console, progress)


def clock(seconds: float) -> str:
    """Example: 3725 s is ``1:02:05``, 65 s is ``1:05``."""
    minutes, whole_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole_s:02}" if hours else f"{minutes}:{whole_s:02}"
