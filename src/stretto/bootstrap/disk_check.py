"""Whether the disk of a server takes what is written, as often as somebody may ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Final

from stretto.contexts.core.errors import StrettoError

if TYPE_CHECKING:
    from stretto.contexts.processing.adapters.recording_files import RecordingFiles

MEGABYTE: Final = 1_000_000
LEAST_FREE_BYTES: Final = 200 * MEGABYTE
KNOWN_S: Final = 5.0
"""So long an answer is good: anybody may ask, and each trial is a sync of the disk."""

PATIENCE_S: Final = 1.0


class DiskCheck:
    """What is wrong with the disk; nothing when it has room and takes what is written."""

    def __init__(
        self, recordings: RecordingFiles, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._recordings = recordings
        self._clock = clock
        self._known_until = float("-inf")
        self._said = ""
        self._lock = Lock()

    def __call__(self) -> str:
        if not self._lock.acquire(timeout=PATIENCE_S):  # somebody else's trial hangs
            return "The disk has not answered yet."
        try:
            if self._clock() >= self._known_until:
                self._said = self._trouble()
                self._known_until = self._clock() + KNOWN_S
            return self._said
        finally:
            self._lock.release()

    def _trouble(self) -> str:
        try:
            self._recordings.try_out()
            free = self._recordings.free_bytes()
        except StrettoError as error:
            return error.message
        return "" if free >= LEAST_FREE_BYTES else f"Only {free // MEGABYTE} MB are free."
