"""A disk that goes bad under processes that run, and is well again: strace refuses what they write
into some files, for as long as it watches them. It takes the right to trace them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

STRACE = shutil.which("strace")
SYNCS = "pwrite64,ftruncate,fsync,fdatasync"
WRITES = f"write,{SYNCS}"
ATTACHED_S = 60.0


def files_of(home: Path) -> list[Path]:
    """What SQLite writes."""
    database = home / "stretto.sqlite3"
    return [database, *(database.with_name(f"{database.name}-{end}") for end in ("journal", "wal"))]


def refusing(files: Iterable[Path], error: str) -> list[str]:
    """The command after which a program, or ``-p PID``, cannot write into these files. Without
    any, nothing gets onto a disk: what is written is refused when it is synced, because pipes and
    the log are written to with the same calls."""
    assert STRACE is not None
    paths = [word for path in files for word in ("-P", str(path))]
    calls = WRITES if paths else SYNCS
    return [STRACE, "-f", "-e", f"inject={calls}:error={error}", *paths, "-o", "/dev/null"]


@contextmanager
def bad_disk(pid: int, files: Iterable[Path], error: str) -> Iterator[None]:
    """Every write of a running process into ``files`` fails until the block ends."""
    with watched(pid, refusing(files, error)):
        yield


@contextmanager
def watched(pid: int, strace_so: Iterable[str]) -> Iterator[None]:
    """A process that runs, and those that it starts, until the block ends."""
    command = [*strace_so, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        try:
            assert strace.stderr is not None
            end = time.monotonic() + ATTACHED_S
            while "attached" not in (line := strace.stderr.readline()):
                # it names files that are not there yet
                assert line, "strace did not attach"
                assert time.monotonic() < end, line
            yield
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(ATTACHED_S)


@cache
def can_be_bad() -> bool:
    """Whether strace may watch a process that runs: containers and systems may forbid it."""
    if STRACE is None:
        return False
    nap = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(nap) as sleeper:
        try:
            with bad_disk(sleeper.pid, [Path("/nowhere")], "EIO"):
                return True
        except AssertionError:
            return False
        finally:
            sleeper.kill()


needs_bad_disks = pytest.mark.skipif(
    STRACE is None, reason="strace is not installed; it makes a disk bad"
)
