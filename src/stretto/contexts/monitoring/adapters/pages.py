"""The numbers of a process in a file that is mapped into its memory: they outlive ``kill -9``.

A file is locked as long as its process lives. Whoever gets the lock finds what a dead process left.
"""

from __future__ import annotations

import fcntl
import json
import logging
import mmap
import os
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stretto.contexts.monitoring.collector import LAYOUT, WIDTHS, Layout
from stretto.contexts.monitoring.model import MetricKind
from stretto.contexts.monitoring.reading import Reading

SUFFIX: Final = ".page"
MAGIC: Final = b"stretto\x01"
_HEAD: Final = struct.Struct("<8sQQ")  # magic, bytes of the description, where the numbers begin
MOST_DESCRIPTION_BYTES: Final = 1_000_000

logger = logging.getLogger(__name__)


class FilePage:
    """A page in the folder; also who writes into it. Raises OSError, a full disk included: the room
    is taken at once, because a mapped file that finds none later kills its process."""

    def __init__(self, folder: Path, *, role: str) -> None:
        self.id = uuid.uuid4().hex
        self.role = role
        self.path = folder / f"{self.id}{SUFFIX}"
        self._owner = os.getpid()
        folder.mkdir(parents=True, exist_ok=True)
        description = _described(role)
        start = -(-(_HEAD.size + len(description)) // mmap.PAGESIZE) * mmap.PAGESIZE
        hidden = folder / f".{self.id}"
        self._file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)  # before anybody can find it
            os.posix_fallocate(self._file, 0, start + 8 * LAYOUT.size)
            os.pwrite(self._file, _HEAD.pack(MAGIC, len(description), start) + description, 0)
            self._map = mmap.mmap(self._file, start + 8 * LAYOUT.size)
            hidden.rename(self.path)
        except BaseException:
            os.close(self._file)
            hidden.unlink(missing_ok=True)
            raise
        self.cells = memoryview(self._map)[start:].cast("d")

    def left(self) -> None:
        """In a forked child: the page is its parent's, and so is the lock."""
        os.close(self._file)

    def remove(self) -> None:
        """When it is known elsewhere what it says."""
        if os.getpid() == self._owner:
            self.path.unlink(missing_ok=True)


def _described(role: str) -> bytes:
    series = [[key, kind.value] for key, kind in LAYOUT.series]
    widths = {kind.value: width for kind, width in WIDTHS.items()}
    return json.dumps(
        {"role": role, "pid": os.getpid(), "widths": widths, "series": series}
    ).encode()


class LeftPage:
    """The page of a process that is dead, held so that nobody else takes it."""

    def __init__(self, path: Path, role: str, pid: int, reading: Reading) -> None:
        self.path, self.id, self.role = path, path.name.removesuffix(SUFFIX), role
        self.pid, self.reading = pid, reading

    def remove(self) -> None:
        """When somebody else knows what it says."""
        self.path.unlink(missing_ok=True)


def left_pages(folder: Path) -> Iterator[LeftPage]:
    """Those of dead processes, one after the other, each locked while it is looked at. What is no
    page, or of a program with other sketches, is deleted with a line in the log."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # somebody else was quicker
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():
                yield _read(path, file)
        except BlockingIOError:
            continue  # its process lives
        except (ValueError, KeyError, TypeError, struct.error, OSError) as trouble:
            logger.warning("%s is no page of metrics and is deleted: %s", path.name, trouble)
            path.unlink(missing_ok=True)
        finally:
            os.close(file)


def _read(path: Path, file: int) -> LeftPage:
    size = os.fstat(file).st_size
    magic, described_bytes, start = _HEAD.unpack(os.pread(file, _HEAD.size, 0))
    if magic != MAGIC or described_bytes > MOST_DESCRIPTION_BYTES:
        raise ValueError("it begins with something else")
    description = json.loads(os.pread(file, described_bytes, _HEAD.size))
    if description["widths"] != {kind.value: width for kind, width in WIDTHS.items()}:
        raise ValueError("its sketches have other buckets")
    layout = Layout([(str(key), MetricKind(kind)) for key, kind in description["series"]])
    if size != start + 8 * layout.size:
        raise ValueError("it is cut off")
    cells = memoryview(os.pread(file, 8 * layout.size, start)).cast("d")
    return LeftPage(path, str(description["role"]), int(description["pid"]), layout.reading(cells))
