"""What a disk may refuse, as the errors that are told to whoever hands in a recording."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from stretto.contexts.core.errors import StorageFull, StorageUnavailable

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def explained() -> Generator[None, None, None]:
    """Raises StorageFull or StorageUnavailable for an OSError."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StorageFull(
                "The disk is full; the recording was not kept. Free some space, and try again."
            ) from error
        raise StorageUnavailable(
            f"The recording cannot be kept: {error.strerror or error}."
        ) from error
