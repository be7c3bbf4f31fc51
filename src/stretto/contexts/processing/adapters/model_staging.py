"""Puts a model into the user's library as a whole or not at all, one process at a time."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from stretto.contexts.core.errors import EngineUnavailable, StorageFull, UnknownModel
from stretto.contexts.processing.adapters.file_lock import locked
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
        with locked(library / STAGING / "locks" / folder):
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
