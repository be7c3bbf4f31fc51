"""Where the command starts: even an interrupt while the program loads is no traceback."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


def main() -> None:
    """The script ``stretto`` and ``python -m stretto``."""
    # Its products are small, and side by side already; to start a thread for each core takes
    # numpy's library longer than all else that numpy loads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Raised in the middle of an import, KeyboardInterrupt may fall into a callback of the import
    # system, where exceptions are printed and forgotten. Nothing is begun yet: leaving is safe.
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(INTERRUPTED))
    from stretto.interfaces.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    try:
        run()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
