"""Clocks that are wrong, for the processes that are told so."""

from __future__ import annotations

import os
import time
from pathlib import Path

VARIABLE = "STRETTO_CHAOS_CLOCK"


def shift_if_told() -> None:
    """Whatever asks for the time of day from now on is told that of a clock which is wrong by as
    many seconds as stand in the file that the environment names; it can be set meanwhile."""
    path = os.environ.get(VARIABLE)
    if path:
        right, wrong = time.time, Path(path)
        time.time = lambda: right() + float(wrong.read_text())


def set_to(clock: Path, seconds: int) -> None:
    """In one go: a clock is never half set."""
    new = clock.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(clock)
