"""Ctrl-C in the middle of the work: gone within a second, with nothing half done left."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.program import kept, started, stretto, wait_until_something_is_kept
from tests.e2e.recordings import TIMES_IN_LONG, word_error_rate

INTERRUPTED = 130
PATIENCE_S = 10.0
"""A second is promised; a busy machine may take much longer to end a process. That the work was
left where it was is seen by what is missing."""

OPTIONS = ("--language", "en", "--format", "txt")


def interrupted(process: subprocess.Popen[str], number: signal.Signals) -> tuple[float, str, str]:
    """Seconds from the signal to the end, standard output, standard error."""
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return time.monotonic() - began, out, err


def test_an_interrupted_run_is_gone_within_a_second_and_goes_on_the_next_time(
    long_recording: Path, home: Path, tmp_path: Path
) -> None:
    output = tmp_path / "results" / "long.txt"
    arguments = ("transcribe", long_recording, *OPTIONS, "--output", output)
    process = started(*arguments, home=home)
    wait_until_something_is_kept(process, home)

    seconds, out, err = interrupted(process, signal.SIGINT)

    before = kept(home)
    assert (process.returncode, out) == (INTERRUPTED, "")
    assert seconds < PATIENCE_S
    assert "run the same command to go on" in err
    assert "Traceback" not in err
    assert list(output.parent.iterdir()) == []
    assert stretto(*arguments, home=home).code == 0
    after = kept(home)
    assert len(after) > len(before)
    assert {key: after[key] for key in before} == before
    assert word_error_rate(output.read_text(), times=TIMES_IN_LONG) <= 0.05


def test_a_terminated_run_of_several_files_begins_no_other_and_leaves_nothing(
    long_recording: Path, home: Path, tmp_path: Path
) -> None:
    files, results = (long_recording, tmp_path / "missing.wav"), tmp_path / "results"
    process = started("transcribe", *files, *OPTIONS, "-o", f"{results}/", home=home)
    wait_until_something_is_kept(process, home)

    seconds, out, err = interrupted(process, signal.SIGTERM)

    assert (process.returncode, out) == (INTERRUPTED, "")
    assert seconds < PATIENCE_S
    assert "run the same command to go on" in err
    assert "Traceback" not in err
    assert "missing.wav" not in err
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("module", ["typer", "numpy"])
def test_an_interrupt_while_the_program_loads_shows_no_traceback(
    long_recording: Path, home: Path, module: str
) -> None:
    process = started("transcribe", long_recording, *OPTIONS, home=home, imports=True)
    assert process.stderr is not None
    while not process.stderr.readline().endswith(f" {module}\n"):
        assert process.poll() is None
    seconds, _, err = interrupted(process, signal.SIGINT)
    assert process.returncode in {INTERRUPTED, -signal.SIGINT}
    assert seconds < PATIENCE_S
    assert "Traceback" not in err


def test_an_interrupt_in_a_terminal_gives_the_cursor_back(long_recording: Path, home: Path) -> None:
    terminal, ours = pty.openpty()
    process = started("transcribe", long_recording, *OPTIONS, home=home, messages=ours)
    os.close(ours)
    shown, signalled = b"", False
    with suppress(OSError):  # the terminal is closed when the last who writes to it is gone
        while part := os.read(terminal, 65_536):
            shown += part
            if not signalled and b"\x1b[?25l" in shown and kept(home):
                process.send_signal(signal.SIGINT)
                signalled = True
    process.communicate(timeout=30)
    os.close(terminal)
    assert process.returncode == INTERRUPTED
    assert b"run the same command" in shown
    assert b"Traceback" not in shown
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")
