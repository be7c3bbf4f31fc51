"""The commands `stretto models list` and `stretto models install`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

Progress = Callable[[int, int], None]
"""Called with bytes done so far and bytes in all; the latter is 0 as long as nobody knows."""

STEP_PERCENT: Final = 10


class Entry(Protocol):
    """A model that is installed, or can be."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def installed(self) -> bool: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def path(self) -> Path | None: ...
    @property
    def hint(self) -> str: ...


class Folder(Protocol):
    """An installed model."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def size_bytes(self) -> int: ...


class Library(Protocol):
    """The models of one user, as far as the command line needs them."""

    def list(self) -> Sequence[Entry]: ...

    def describe(self, name: str) -> Entry: ...

    def default_name(self) -> str: ...

    def install(self, name: str, progress: Progress) -> Folder: ...


def list_models(library: Library, *, as_json: bool) -> None:
    """All models on standard output: a table on a terminal, else a line with tabs for each."""
    entries, default = library.list(), library.default_name()
    if as_json:
        print(json.dumps([_as_json(entry, default) for entry in entries], indent=2))
    elif sys.stdout.isatty():
        _print_table(entries, default)
    else:
        for entry in entries:
            print("\t".join(_row(entry, default)))


def install_model(library: Library, name: str) -> None:
    """Install a model, with progress on standard error; its folder goes to standard output."""
    with _shown_progress(name) as progress:
        folder = library.install(name, progress)
    print(f"{folder.name} ({megabytes(folder.size_bytes)}) is installed in {folder.path}")


def megabytes(size_bytes: int) -> str:
    """Example: 78090594 is ``78 MB``; 0 means that nobody knows."""
    if not size_bytes:
        return "?"
    megas = size_bytes / 1_000_000
    return f"{megas / 1000:.1f} GB" if megas >= 1000 else f"{max(1, round(megas))} MB"


def _as_json(entry: Entry, default: str) -> dict[str, object]:
    return {
        "name": entry.name,
        "installed": entry.installed,
        "default": entry.name == default,
        "source": str(entry.source),
        "size_bytes": entry.size_bytes,
        "path": str(entry.path) if entry.path else None,
        "install": entry.hint or None,
    }


def _row(entry: Entry, default: str) -> tuple[str, str, str, str, str]:
    state = "installed" if entry.installed else "available"
    where = str(entry.path or entry.hint)
    name = f"{entry.name} (default)" if entry.name == default else entry.name
    return name, state, str(entry.source), megabytes(entry.size_bytes), where


def _print_table(entries: Sequence[Entry], default: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "state", "from", "size", box=None)
    table.add_column("where, or how to install", overflow="fold")
    for entry in entries:
        style = "bold" if entry.installed else "dim"
        table.add_row(*(Text(cell) for cell in _row(entry, default)), style=style)
    Console().print(table)


@contextmanager
def _shown_progress(name: str) -> Generator[Progress, None, None]:
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress as Bar
        from rich.progress import TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), *Bar.get_default_columns()[1:3])
        console = Console(stderr=True)
        with Bar(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
            task = bar.add_task(f"Installing {name}", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total or None)
    else:
        yield _lines(name)


def _lines(name: str) -> Progress:
    """A line for each ten percent."""
    reached = 0

    def progress(done: int, total: int) -> None:
        nonlocal reached
        percent = 100 * done // total if total else 0
        if percent >= reached + STEP_PERCENT:
            reached = percent - percent % STEP_PERCENT
            print(f"Installing {name}: {reached} %", file=sys.stderr, flush=True)

    return progress
