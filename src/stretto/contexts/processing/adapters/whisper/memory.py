"""Keeps glibc's allocator from holding on to what was used; elsewhere it does nothing."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

M_ARENA_MAX: Final = -8
M_MMAP_THRESHOLD: Final = -3
"""From glibc's malloc.h; see mallopt(3)."""

LARGE_BYTES: Final = 4_000_000


def share_one_heap() -> None:
    """One heap for all threads. Each would have one of its own, as large as its largest moment.

    The engine's threads seldom allocate, so they do not wait for one another.
    """
    _set(M_ARENA_MAX, 1)


def return_large_blocks() -> None:
    """What is larger than 4 MB goes back to the system when it is freed, so that memory does not
    break into pieces over hours. What is smaller is used again: to get fresh memory from the system
    for all that an encoder writes took a fifth of the time."""
    _set(M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back_memory() -> None:
    """Return to the system what is free now."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _set(parameter: int, value: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(parameter, value)
