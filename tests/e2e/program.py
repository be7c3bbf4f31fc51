"""Runs the program as its users do: in a process of its own, with a data folder of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

ENGINE_MODULES: Final = frozenset({"onnxruntime"})
"""No model runs without them, and they are imported when it is loaded: Whisper, Silero."""

_IMPORTED: Final = re.compile(r"^import time:\s+\d+ \|\s+\d+ \| +(\S+)$", re.MULTILINE)
_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run of the program that is over; ``seconds`` is how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """Standard output, read as one JSON object."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    @property
    def imported(self) -> frozenset[str]:
        """The top-level packages it imported; empty without ``imports``."""
        return frozenset(name.split(".")[0] for name in _IMPORTED.findall(self.err))

    @property
    def messages(self) -> list[str]:
        """The lines of standard error."""
        return [line for line in self.err.splitlines() if line.strip()]


def command(*arguments: str | Path, imports: bool = False) -> list[str]:
    flags = ["-X", "importtime"] if imports else []
    return [sys.executable, *flags, "-m", "stretto", *map(str, arguments)]


def environment(home: Path, *, database: str = "") -> dict[str, str]:
    """What the program finds set: where its data is, no network, and the small model; without
    that, an installed larger one would be copied into every data folder. However busy the machine
    is, no statement is slow: remembering one would import what no other run imports."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("STRETTO_")}
    ours = {"STRETTO_HOME": str(home), "STRETTO_OFFLINE": "1", "STRETTO_MODEL": "tiny.en"}
    ours |= {"STRETTO_DATABASE_URL": database, "STRETTO_SLOW_QUERY_MS": "600000"}
    return {**others, **ours}


def stretto(
    *arguments: str | Path,
    home: Path,
    imports: bool = False,
    folder: Path | None = None,
    before: Sequence[str] = (),
    database: str = "",
) -> Finished:
    """Run it to its end; ``before`` is a command that starts it, such as setpriv."""
    began = time.monotonic()
    done = subprocess.run(
        [*before, *command(*arguments, imports=imports)],
        capture_output=True,
        encoding="utf-8",
        env=environment(home, database=database),
        cwd=folder,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    took = time.monotonic() - began
    return Finished(code=done.returncode, out=done.stdout, err=done.stderr, seconds=took)


def started(
    *arguments: str | Path, home: Path, imports: bool = False, messages: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start it and leave it running; ``messages`` is the descriptor for standard error.

    Ctrl-C reaches it even where the tests run in the background of a shell, which ignores it.
    """
    return subprocess.Popen(
        command(*arguments, imports=imports),
        stdout=subprocess.PIPE,
        stderr=messages,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        env=environment(home),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


def shown_on_a_terminal(
    *arguments: str | Path, home: Path, stdout: int | None = None
) -> tuple[int, str]:
    """The exit code, and what a terminal shows that has standard error, and standard output too
    without another."""
    terminal, ours = pty.openpty()
    try:
        process = subprocess.Popen(
            command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=ours if stdout is None else stdout,
            stderr=ours,
            env=environment(home),
        )
    finally:
        os.close(ours)
    shown = b""
    try:
        with suppress(OSError):  # the terminal is closed when the last who writes to it is gone
            while part := os.read(terminal, 65_536):
                shown += part
    finally:
        os.close(terminal)
    return process.wait(timeout=60), shown.decode()


def kept(home: Path) -> dict[str, float]:
    """The keys of the answers that are on the disk, and when each was computed (Unix, s)."""
    database = home / "stretto.sqlite3"
    if not database.exists():
        return {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        try:
            return dict(connection.execute("SELECT key, created_at FROM cache_entry").fetchall())
        except sqlite3.OperationalError:  # the tables are not made yet
            return {}


def undelivered(home: Path) -> int:
    """How many events wait in the outbox."""
    with closing(sqlite3.connect(f"file:{home / 'stretto.sqlite3'}?mode=ro", uri=True)) as database:
        asked = "SELECT count(*) FROM outbox_event WHERE delivered_at IS NULL"
        return int(database.execute(asked).fetchone()[0])


def wait_until_something_is_kept(process: subprocess.Popen[str], home: Path) -> None:
    """Returns in the middle of the work: the first answers are kept, others are being computed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if kept(home):
            break
        time.sleep(_POLL_S)
    assert process.poll() is None, "it ended before it could be interrupted"
    assert kept(home), "nothing was kept within a minute"


def without_privileges() -> list[str]:
    """For root, permissions mean nothing unless that privilege is given up."""
    if os.geteuid() != 0:
        return []
    give_up = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if (
        shutil.which("setpriv") is None
        or subprocess.run([*give_up, "true"], check=False).returncode
    ):
        pytest.skip("run by root, who may read and write everything, and setpriv does not work")
    return give_up
