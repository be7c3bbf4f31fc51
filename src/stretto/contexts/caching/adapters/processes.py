"""Tells whether the process that left a mark in the database is gone for certain.

A process is known by its machine's boot, its namespace of process numbers (a container has its
own), its number, and the moment it started: the number alone is given again to others.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Final

UNKNOWN: Final = ""
_PROC: Final = Path("/proc")
_START: Final = 19
"""The place of the start time behind the name of the program (proc(5), /proc/pid/stat, field 22;
the name is in brackets and may hold anything)."""


def mark() -> str:
    """Of this process; ``UNKNOWN`` on a system that does not tell."""
    return _mark(os.getpid())


def is_dead(other: str) -> bool:
    """Whether the process with that mark ran here and does so no more. Of one that ran elsewhere,
    or whose mark is none, nothing is known: False."""
    place, _, _ = other.rpartition(":")
    place, _, number = place.rpartition(":")
    if not place or place != _place() or not number.isdecimal() or not int(number):
        return False
    found = _mark(int(number))
    return found != other if found else not _exists(int(number))


def _exists(number: int) -> bool:
    """Of a process that may not be looked at, too."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _mark(number: int) -> str:
    place = _place()
    if not place:
        return UNKNOWN
    try:
        text = (_PROC / str(number) / "stat").read_text("ascii", "replace")
    except OSError:  # it is not there, or ends at this moment
        return UNKNOWN
    state, *rest = text.rpartition(")")[2].split()
    started = "dead" if state in {"Z", "X"} else rest[_START - 1]  # a zombie is not yet buried
    return f"{place}:{number}:{started}"


@lru_cache(maxsize=1)
def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = (_PROC / "self/ns/pid").stat().st_ino
    except OSError:
        return UNKNOWN
    return f"{boot}:{namespace}"
