"""Puts a model into the user's library as a whole or not at all, one process at a time."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from stretto.contexts.core.errors import EngineUnavailable, StorageFull, UnknownModel
from stretto.contexts.processing.adapters.model_folders import MODEL_FILES, is_folder, missing_from

STAGING: Final = ".staging"
"""Under the library: what is not whole yet. A leading dot keeps it out of every listing."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def install(
    library: Path, folder: str, *, fill: Callable[[Path], None], resume: bool = False
) -> None:
    """Make ``library / folder`` a model, durably; ``fill`` puts the files into another folder
    first, which is empty unless ``resume`` lets it hold what an interrupted attempt left.

    Waits while another process installs the same model, and does nothing when that one succeeded.
    Raises StorageFull and EngineUnavailable when the disk does not play along, and what ``fill``
    raises.
    """
    try:
        with _locked(library / STAGING / "locks" / folder):
            if missing_from(library / folder):
                _fill_and_publish(library, folder, fill, resume=resume)
    except OSError as cause:
        if cause.errno in FULL:
            raise StorageFull from cause
        raise EngineUnavailable(
            f"The model {folder} cannot be put into {library} ({cause.strerror or cause}). "
            "Make that folder writable, or set STRETTO_HOME to another one."
        ) from cause


def _fill_and_publish(
    library: Path, folder: str, fill: Callable[[Path], None], *, resume: bool
) -> None:
    staging = library / STAGING / folder
    worth_resuming = False
    if not resume:
        shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(exist_ok=True)
    try:
        fill(staging)
        if missing := missing_from(staging):
            raise EngineUnavailable(
                f"The model {folder} arrived without {', '.join(missing)}. Try again."
            )
        _publish(staging, library / folder)
    except UnknownModel:
        raise
    except BaseException:  # an interrupt, too, leaves what was downloaded for the next attempt
        worth_resuming = resume and any(staging.iterdir())
        raise
    finally:
        if not worth_resuming:
            shutil.rmtree(staging, ignore_errors=True)


def _publish(staging: Path, target: Path) -> None:
    for entry in list(staging.iterdir()):
        if entry.name not in MODEL_FILES:  # what a downloader keeps to itself
            shutil.rmtree(entry) if is_folder(entry) else entry.unlink()
    for path in staging.iterdir():
        _sync(path)
    _sync(staging)
    staging.rename(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    if sys.platform == "win32" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Generator[None, None, None]:
    """Held by one at a time, threads included; the system ends it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        _acquire(file)
        try:
            yield
        finally:
            with suppress(OSError):
                _release(file)


if sys.platform == "win32":
    import msvcrt

    def _acquire(file: IO[bytes]) -> None:
        while True:
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

    def _acquire(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _release(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
