"""Files that stand for a right: whoever holds one has it, in whichever process."""

from __future__ import annotations

import errno
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Generator[None, None, None]:
    """Held by one at a time, threads included, or by all who share it; the system ends it when its
    holder dies. Raises OSError when the file cannot be made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        _acquire(file, shared=shared)
        try:
            yield
        finally:
            with suppress(OSError):
                _release(file)


if sys.platform == "win32":
    import msvcrt

    def _acquire(file: IO[bytes], *, shared: bool) -> None:
        while True:  # nobody can share here: all take turns
            try:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            except OSError as error:  # ten seconds are over, the other one is still at it
                if error.errno != errno.EDEADLOCK:
                    raise
            else:
                return

    def _release(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _acquire(file: IO[bytes], *, shared: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)

    def _release(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
