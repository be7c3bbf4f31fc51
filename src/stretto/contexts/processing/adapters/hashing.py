"""SHA-256 of open files."""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

PIECE_BYTES: Final = 8 << 20
"""Between two pieces other threads take Python's lock. To get it back takes longer than to hash a
megabyte; of larger pieces there are few."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def sha256_of(file: Readable, *, at_most: int | None = None) -> str:
    """In hexadecimal, from where ``file`` stands to its end, or of so many bytes. Raises
    OSError."""
    digest = hashlib.sha256()
    left = at_most
    while piece := file.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES)):
        digest.update(piece)
        left = None if left is None else left - len(piece)
    return digest.hexdigest()
