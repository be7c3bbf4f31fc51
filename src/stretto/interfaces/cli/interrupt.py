"""Ctrl-C: stop taking work at once, and be gone within a second even if an engine is deep in it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from stretto.contexts.processing.model import CancelToken
from stretto.interfaces.cli.exit_codes import ExitCode

PATIENCE_S: Final = 0.8
MESSAGE: Final = b"Stopped. What was finished is kept; run the same command to go on.\n"
CLEAN_TERMINAL: Final = b"\r\x1b[2K\x1b[?25h"
"""To the start of the line, clear it, show the cursor (ECMA-48 and DEC private modes)."""


@contextmanager
def cancelling_on_interrupt(cancel: CancelToken) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM set ``cancel``; after 0.8 s the process leaves anyway.

    Leaving hard is safe: every finished piece is committed, and outputs are renamed into place.
    """

    def leave() -> None:
        # No cleanup: a thread may be seconds deep in native code that cannot be interrupted.
        # Straight to the terminal: sys.stderr may be in the hands of the progress bar.
        with suppress(OSError):
            os.write(2, (CLEAN_TERMINAL if os.isatty(2) else b"") + MESSAGE)
        os._exit(ExitCode.INTERRUPTED)

    def interrupted(number: int, frame: FrameType | None) -> None:
        if cancel.cancelled:
            leave()
        cancel.cancel()
        timer = threading.Timer(PATIENCE_S, leave)
        timer.daemon = True
        timer.start()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
