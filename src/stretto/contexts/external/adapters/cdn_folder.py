"""A store that is a folder: the origin of everything, and the edge where a web server serves it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from stretto.contexts.core.errors import (
    AssetMissing,
    CDNRefused,
    CDNUnavailable,
    StorageFull,
    StrettoError,
)
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.external.cdn_model import (
    PIECE_BYTES,
    AssetKey,
    CDNAsset,
    CDNLocation,
    Content,
    Place,
)
from stretto.contexts.external.cdn_ports import Sent

SPOOL: Final = ".spool"
ABANDONED_S: Final = 24 * 3600.0

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_ALLOWED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_SHAPE: Final = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})


class FolderStore:
    """The ports CDNStore and CDNAddresses. ``public_url`` is where a web server has the folder;
    without one, addresses are those of files. The folder is made when something is put there;
    who may read it is the business of the umask."""

    def __init__(self, folder: Path, *, public_url: str = "") -> None:
        self._folder = folder
        self._public_url = public_url.rstrip("/")

    @property
    def name(self) -> str:
        return str(self._folder)

    def put(self, asset: CDNAsset, content: Content, *, sent: Sent) -> None:
        target = self._path(asset.key)
        with self._explained(), self.scratch(target.suffix) as scratch:
            count = 0
            with scratch.open("wb") as file:
                for piece in content.checked(self.name):
                    file.write(piece)
                    sent(count := count + len(piece))
                file.flush()
                os.fsync(file.fileno())
            target.parent.mkdir(exist_ok=True)
            scratch.replace(target)
            _sync(target.parent)

    def size(self, key: AssetKey) -> int | None:
        with self._explained():
            try:
                return self._path(key).stat().st_size
            except FileNotFoundError:
                return None

    def read(self, key: AssetKey) -> Iterator[bytes]:
        with self._explained():
            try:
                file = self._path(key).open("rb")
            except FileNotFoundError as cause:
                raise AssetMissing(
                    f"{key} is not in {self.name} any more. Publish it again: stretto cdn publish"
                ) from cause
        with file:
            while True:
                with self._explained():
                    piece = file.read(PIECE_BYTES)
                if not piece:
                    return
                yield piece

    def delete(self, key: AssetKey) -> None:
        path = self._path(key)
        with self._explained():
            path.unlink(missing_ok=True)
            with suppress(OSError):  # others of the transcript may still be there
                path.parent.rmdir()
            if self._folder.is_dir():
                _sync(self._folder)

    def location(self, key: AssetKey, *, now: Timestamp, seconds: float) -> CDNLocation:
        """Does not expire."""
        path = self._path(key)
        url = f"{self._public_url}/{quote(key.value)}" if self._public_url else path.as_uri()
        return CDNLocation(place=Place.EDGE, store=self.name, url=url)

    @contextmanager
    def scratch(self, suffix: str) -> Generator[Path, None, None]:
        """The path of a file beside the others, gone afterwards unless it was moved away."""
        spool = self._folder / SPOOL
        with self._explained():
            spool.mkdir(parents=True, exist_ok=True)
            _sweep(spool)
        path = spool / f"{os.getpid()}-{time.monotonic_ns()}{suffix}"
        try:
            yield path
        finally:
            with suppress(OSError):
                path.unlink()

    def _path(self, key: AssetKey) -> Path:
        return self._folder / key.value  # the form of a key lets none lead elsewhere

    @contextmanager
    def _explained(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as cause:
            raise _explanation(cause, self.name) from cause


def _explanation(cause: OSError, name: str) -> StrettoError:
    if cause.errno in _FULL:
        return StorageFull(
            f"The disk of {name} is full. Free some space; what was to be published there is "
            "sent again by itself, or now with: stretto cdn sync"
        )
    if cause.errno in _NOT_ALLOWED:
        return CDNRefused(f"You may not write to {name}. Correct its permissions or the settings.")
    if cause.errno in _SHAPE:
        return CDNRefused(f"{name} is not a folder that can be used. Correct STRETTO_CDN_URL.")
    return CDNUnavailable(f"{name} cannot be used just now: {cause.strerror or cause}.")


def _sweep(spool: Path) -> None:
    """Remove what processes left behind that were killed while they wrote."""
    for path in spool.iterdir():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()


def _sync(folder: Path) -> None:
    """The file is whole already, so that a folder which cannot be synced is no failure."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def content_of(path: Path) -> Content:
    """The content of a file, read once to know its hash. Raises OSError."""

    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    return Content.of_pieces(pieces)
