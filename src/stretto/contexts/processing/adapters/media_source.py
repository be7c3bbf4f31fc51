"""Opens a media file once and lets a decoder see nothing but its bytes: no name, no other file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from stretto.contexts.core.audio import FileIdentity
from stretto.contexts.core.errors import (
    MediaEmpty,
    MediaNotFound,
    MediaNotRecognised,
    MediaRefused,
    MediaUnreadable,
    StrettoError,
)
from stretto.contexts.core.identifiers import FileHash
from stretto.contexts.processing.adapters import media_types
from stretto.contexts.processing.adapters.hashing import sha256_of
from stretto.contexts.processing.adapters.media_faults import Fault, FaultKind, error_of, shown
from stretto.contexts.processing.adapters.media_types import HEAD_BYTES, MediaType

_MAXIMUM_TAGS: Final = 8

_READ_TIMES: Final = 32
_READ_BESIDES_BYTES: Final = 1 << 30
"""A file whose index leads back again and again may be read so many times its size, and this."""


class MediaSource:
    """The file-like object that FFmpeg reads from: a window on an open file.

    The window begins behind ID3 tags, so that cover art of any size is never loaded, and ends at
    ``size``, so that a file which still grows is read as it was hashed. Errors are kept in
    ``failure`` instead of raised: an exception inside FFmpeg's callback is printed and lost.
    """

    def __init__(self, file: FileIO, *, path: Path, size: int) -> None:
        """Raises MediaEmpty, MediaRefused or MediaNotRecognised."""
        self.path = path
        self.size = size
        self.failure: BaseException | None = None
        self._file = file
        self._allowed_bytes = _READ_TIMES * size + _READ_BESIDES_BYTES
        if not size:
            raise MediaEmpty(f"{shown(path)} is empty.")
        self._start, self.head = _behind_tags(file)
        self.kind = _recognised(self.head, path=path)
        self.seek(0)

    def read(self, size: int) -> bytes:
        try:
            left = self.size - self._file.tell()
            data = self._file.read(min(size, left)) if left > 0 else b""
            self._allowed_bytes -= len(data)
            if self._allowed_bytes < 0:
                raise Fault(FaultKind.TOO_MUCH_READ)
        except BaseException as failure:  # Ctrl-C lands here too
            self.failure = failure
            return b""
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            bases = {os.SEEK_SET: self._start, os.SEEK_END: self.size}
            position = bases.get(whence, self._file.tell()) + offset
            return self._file.seek(max(self._start, position)) - self._start
        except (OSError, OverflowError):
            return -1  # a forged offset; the disk is not at fault
        except BaseException as failure:
            self.failure = failure
            return 0

    def tell(self) -> int:
        return self._file.tell() - self._start

    def fileno(self) -> int:
        """The open file, to be handed to another process; it shares the position with this one."""
        return self._file.fileno()

    def hash(self) -> FileHash:
        """SHA-256 of the whole file, tags included; leaves the position at the start."""
        self._file.seek(0)
        found = sha256_of(self._file, at_most=self.size)
        self.seek(0)
        return FileHash(found)

    def is_cut_off(self) -> bool:
        """Whether the container itself says that its end is missing."""
        declared = media_types.declared_bytes(self.kind, self.head)
        if declared is not None:
            return declared > self.size - self._start
        if self.kind is MediaType.OGG:
            self.seek(-HEAD_BYTES, os.SEEK_END)
            return not media_types.ends_ogg(self.read(HEAD_BYTES))
        return self.kind is MediaType.MOV and self._ends_inside_a_box()

    def _ends_inside_a_box(self) -> bool:
        """Follows the chain of top-level boxes, as ISO 14496-12 lays them out, to the end."""
        at, end = 0, self.size - self._start
        while at < end:
            self.seek(at)
            length = media_types.box_bytes(self.read(16))
            if length == 0:
                return False
            at += length
        return at > end

    def raise_failure(self) -> None:
        """Raises what reading ran into, an error of the disk as Fault."""
        if isinstance(self.failure, OSError):
            raise Fault(FaultKind.UNREADABLE, self.failure.errno or 0) from self.failure
        if self.failure is not None:
            raise self.failure


@contextmanager
def opened(path: Path, *, size: int | None = None) -> Iterator[MediaSource]:
    """The file at ``path``, or its first ``size`` bytes.

    Raises MediaNotFound, MediaUnreadable, MediaEmpty, MediaRefused or MediaNotRecognised.
    """
    with os.fdopen(_descriptor(path), "rb", buffering=0) as file:
        length = os.fstat(file.fileno()).st_size if size is None else size
        try:
            yield MediaSource(file, path=path, size=length)
        except OSError as cause:
            raise _unreadable(path, cause) from cause


def identify(path: Path) -> FileIdentity:
    """What the port AudioReader says; FFmpeg has no part in it."""
    with opened(path) as source:
        return FileIdentity(path=path, size_bytes=source.size, file_hash=source.hash())


def _descriptor(path: Path) -> int:
    try:
        _check_regular(path, path.stat())
        # A FIFO put there in between must not block, hence O_NONBLOCK and the second look.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError, ValueError) as cause:
        raise MediaNotFound(f"There is no file {shown(path)}.") from cause
    except OSError as cause:
        raise _unreadable(path, cause) from cause
    try:
        _check_regular(path, os.fstat(descriptor))
    except MediaUnreadable:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(path: Path, info: os.stat_result) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise MediaUnreadable(f"{shown(path)} is a folder; name a file in it.")
    if not stat.S_ISREG(info.st_mode):
        raise MediaUnreadable(f"{shown(path)} is a pipe or a device, not a file on a disk.")


def _unreadable(path: Path, cause: OSError) -> StrettoError:
    return error_of(Fault(FaultKind.UNREADABLE, cause.errno or 0), path=path)


def _behind_tags(file: FileIO) -> tuple[int, bytes]:
    """Where the media begins behind ID3 tags, and its first bytes."""
    start = 0
    for _ in range(_MAXIMUM_TAGS):
        file.seek(start)
        head = file.read(HEAD_BYTES)
        tag = media_types.id3_bytes(head)
        if not tag:
            break
        start += tag
    return start, head


def _recognised(head: bytes, *, path: Path) -> MediaType:
    if media_types.is_reference(head):
        raise MediaRefused(
            f"{shown(path)} is a playlist or an address of other media, which is never followed;"
            " give the recording itself."
        )
    kind = media_types.media_type(head)
    if kind is None:
        what = "looks like text" if media_types.is_text(head) else "has an unknown format"
        raise MediaNotRecognised(
            f"{shown(path)} is no audio or video that can be decoded: it {what}."
        )
    return kind
