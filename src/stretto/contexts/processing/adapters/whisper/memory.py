"""Holds memory for what is used and not for more, where the system lets us."""

from __future__ import annotations

import ctypes
import math
import mmap
from contextlib import suppress
from typing import Final

import numpy as np
import numpy.typing as npt

M_ARENA_MAX: Final = -8
M_MMAP_THRESHOLD: Final = -3
"""From glibc's malloc.h; see mallopt(3)."""

LARGE_BYTES: Final = 9_500_000
"""The samples of a chunk are larger; what the encoder writes, and what the decoder hears of a
window, is not."""


def share_one_heap() -> None:
    """One heap for all threads. Each would have one of its own, as large as its largest moment.

    The engine's threads seldom allocate, so they do not wait for one another.
    """
    _set(M_ARENA_MAX, 1)


def return_large_blocks() -> None:
    """What is larger goes back to the system when it is freed, so that memory does not break into
    pieces over hours. What is smaller is used again: to get fresh memory from the system, page by
    page, for all that an encoder writes took a fifth of the time."""
    _set(M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back_memory() -> None:
    """Return to the system what is free now."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def touched_in_parts(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Zeros of which only what is written to takes memory. numpy asks for pages of 2 MB, which
    exist as a whole as soon as one byte of them does; these have 4 KB."""
    pages = mmap.mmap(-1, 4 * math.prod(shape))
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with suppress(OSError):  # a kernel without such pages
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.ndarray(shape, np.float32, pages)


def _set(parameter: int, value: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(parameter, value)
