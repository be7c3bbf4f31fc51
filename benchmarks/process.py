"""Starts one system over one recording under the measuring process, and reads what came back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.catalog import Recording

SHORTEST_LIMIT_S = 300.0
"""How long a run may take at least; longer recordings may take as long as they are."""

HEARD_AT_LEAST = 0.99
"""The share of the recording that a system must say it has heard, or the run does not count."""

PATH = re.compile(r"""(?:[A-Za-z]:)?[\\/][^\s:'"]+""")
# Settings from outside would make a run something else than what the page says was run. Programs
# that are installed have their byte code, so it may be written here, too.
FOREIGN_SETTINGS = (
    *("STRETTO_", "CT2_", "OMP_", "MKL_", "OPENBLAS_", "ORT_"),
    "PYTHONDONTWRITEBYTECODE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a run gave; with ``error`` set, what it measured means nothing."""

    error: str = ""
    text: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    largest_process_bytes: int = 0


def run_system(system: str, model: Path, recording: Recording, *, language: str) -> Finished:
    """One run of ``benchmarks/systems/SYSTEM.py``. A failure is a result, not an exception."""
    program = [sys.executable, "-m", f"benchmarks.systems.{system}"]
    command = [*program, str(model), str(recording.path), language]
    limit_s = max(SHORTEST_LIMIT_S, recording.audio_s)
    return run(command, audio_s=recording.audio_s, limit_s=limit_s)


def run(command: list[str], *, audio_s: float, limit_s: float) -> Finished:
    """Measure ``command``, which prints the answer described in ``benchmarks.systems``."""
    with tempfile.TemporaryDirectory() as folder:
        wrapper = [sys.executable, "-m", "benchmarks.measure", str(limit_s), folder]
        measuring = subprocess.run(
            [*wrapper, *command],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            check=True,
        )
        measured = json.loads(measuring.stdout)
        printed = (Path(folder) / "stdout").read_text(encoding="utf-8", errors="replace")
        complaint = (Path(folder) / "stderr").read_text(encoding="utf-8", errors="replace")
    if measured.pop("timed_out"):
        return Finished(error=f"stopped after {limit_s:.0f} s")
    if code := measured.pop("exit_code"):
        return Finished(error=f"exit code {code}: {last_line(complaint)}")
    answer = parsed(printed)
    if answer is None:
        return Finished(error="it printed no answer")
    if answer["audio_s"] < HEARD_AT_LEAST * audio_s:
        return Finished(error=f"it heard {answer['audio_s']:.0f} s of {audio_s:.0f} s")
    return Finished(text=answer["text"], **measured)


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN_SETTINGS)}
    return {**kept, "HF_HUB_OFFLINE": "1"}


def parsed(printed: str) -> dict[str, Any] | None:
    """The answer in the last line; libraries may have printed before it."""
    lines = printed.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        return None
    complete = isinstance(answer, dict) and {"text", "audio_s"} <= answer.keys()
    return answer if complete else None


def last_line(complaint: str) -> str:
    """The last line of an error, without paths: results are published."""
    lines = complaint.strip().splitlines()
    return PATH.sub("…", lines[-1])[:200] if lines else "no message"
