"""Keeps recordings that were handed in as files, by owner and content; what comes in pieces lies
beside them until it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any, BinaryIO, Final

from stretto.contexts.core.errors import (
    MediaEmpty,
    StorageFull,
    StorageUnavailable,
    UnknownUpload,
)
from stretto.contexts.core.identifiers import FileHash, Timestamp
from stretto.contexts.processing.adapters.disk_trouble import NO_SPACE, explained
from stretto.contexts.processing.adapters.file_lock import locked
from stretto.contexts.processing.adapters.hashing import sha256_of
from stretto.contexts.processing.recordings import Recording, Upload, UploadId, safe_name

BLOCK_BYTES: Final = 1 << 20
NOBODY: Final = "_"
"""The folder of those whose owner has no name; no owner may have this one."""

INCOMING: Final = ".incoming"
LOCKS: Final = ".locks"


class RecordingFiles:
    """Everything below ``folder``, which only this user can read.

    All methods raise StorageFull and StorageUnavailable when the disk is in trouble.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], Timestamp]) -> None:
        self._folder = folder
        self._incoming = folder / INCOMING
        self._clock = clock
        self._settling = Lock()

    def receive(self, name: str, *, owner: str) -> Incoming:
        """For a recording that comes in one piece."""
        upload = self.begin(name, owner=owner, length=None)
        return Incoming(self, upload, self._part(upload.id))

    def begin(self, name: str, *, owner: str, length: int | None) -> Upload:
        """For one that comes in several; ``length`` None means that it has still to be seen."""
        upload = Upload(
            id=UploadId.new(),
            owner=owner,
            name=safe_name(name),
            length=length or 0,
            offset=0,
            created_at=self._clock(),
        )
        with explained():
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._part(upload.id).touch(mode=0o600, exist_ok=False)
            if length is not None:
                self._write_note(upload)
        return upload

    def upload(self, upload_id: UploadId) -> Upload:
        """As far as it came. Raises UnknownUpload."""
        try:
            note = json.loads(self._note(upload_id).read_text(encoding="utf-8"))
            size = None if note["file_hash"] else self._part(upload_id).stat().st_size
        except (FileNotFoundError, ValueError, KeyError) as cause:
            raise UnknownUpload(f"There is no upload {upload_id}; it may be too old.") from cause
        return Upload(
            id=upload_id,
            owner=note["owner"],
            name=note["name"],
            length=note["length"],
            offset=note["length"] if size is None else min(size, note["length"]),
            created_at=Timestamp(note["created_at"]),
            file_hash=FileHash(note["file_hash"]) if note["file_hash"] else None,
        )

    def appending(self, upload: Upload) -> Appending:
        """Where the next bytes of one that comes in pieces go."""
        with explained():
            file = self._part(upload.id).open("r+b")
            file.seek(upload.offset)
        return Appending(file)

    def complete(self, upload: Upload) -> Upload:
        """Give a recording whose last byte has come its place."""
        with explained(), self._part(upload.id).open("rb") as file:
            digest = sha256_of(file)
        self.settle(upload, digest)
        done = replace(upload, file_hash=FileHash(digest))
        self._write_note(done)
        return done

    def settle(self, upload: Upload, digest: str) -> Recording:
        """Move what came to where it stays. Raises MediaEmpty."""
        part = self._part(upload.id)
        with explained():
            size = part.stat().st_size
            if not size:
                self.drop(upload.id)
                raise MediaEmpty("The recording is empty: no byte of it came.")
            place = self._place(upload.owner, digest)
            is_new = not place.exists()
            path = place / upload.name
            with self._locked(digest, shared=True):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._settling:
                    if path.exists():  # the same bytes; jobs know the file by when it was changed
                        part.unlink()
                        os.utime(place)
                    else:
                        part.replace(path)
                _sync_folder(place)
                _sync_folder(place.parent)
        return Recording(
            owner=upload.owner,
            file_hash=FileHash(digest),
            path=path,
            size_bytes=size,
            is_new=is_new,
        )

    def drop(self, upload_id: UploadId) -> None:
        """Whatever there is of it."""
        with explained():
            for path in (self._part(upload_id), self._note(upload_id)):
                path.unlink(missing_ok=True)

    def find(self, owner: str, file_hash: FileHash) -> Recording | None:
        """The recording with these bytes that this owner handed in, by any of its names."""
        place = self._place(owner, file_hash.value)
        try:
            paths = sorted(place.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
        except FileNotFoundError:
            return None
        if not paths:
            return None
        size = paths[0].stat().st_size
        return Recording(owner=owner, file_hash=file_hash, path=paths[0], size_bytes=size)

    @contextmanager
    def held(self, recording: Recording) -> Generator[None, None, None]:
        """Nobody deletes it meanwhile, in whichever process. Raises UnknownUpload when somebody
        has before."""
        with self._locked(recording.file_hash.value, shared=True):
            if not recording.path.exists():
                raise UnknownUpload(f"{recording.path.name} was deleted; upload it again.")
            yield

    def delete_unless(self, owner: str, file_hash: FileHash, is_needed: Callable[[], bool]) -> None:
        """It is asked while nobody holds the recording, so that nobody begins to need it."""
        place = self._place(owner, file_hash.value)
        with self._locked(file_hash.value, shared=False):
            if not is_needed():
                with explained(), suppress(FileNotFoundError):
                    shutil.rmtree(place)

    def settled_before(
        self, moment: Timestamp, file_hash: FileHash | None = None
    ) -> Iterator[tuple[str, FileHash]]:
        """Owner and hash of what has not been touched since."""
        for place in self._folder.glob(f"*/{file_hash or '*'}"):
            if place.parent.name not in {INCOMING, LOCKS} and place.stat().st_mtime < moment.unix_s:
                yield _owner(place.parent.name), FileHash(place.name)

    def drop_incoming(self, *, before: Timestamp) -> int:
        """Forget what stopped coming before that moment. Returns how many files that were."""
        count = 0
        for path in list(self._incoming.glob("*")):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before.unix_s:
                    path.unlink()
                    count += 1
        return count

    def free_bytes(self) -> int:
        with explained():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return shutil.disk_usage(self._folder).free

    def try_out(self) -> None:
        """See that what is written here comes onto the disk. Nothing of it stays."""
        try:
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            with TemporaryFile(dir=self._incoming) as file:
                file.write(b"?")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            why = error.strerror or str(error)
            if error.errno in NO_SPACE:
                raise StorageFull(
                    f"Nothing can be written below {self._folder}: {why}. Free some space."
                ) from error
            raise StorageUnavailable(
                f"Nothing can be written below {self._folder}: {why}. Check the disk it lies on."
            ) from error

    @contextmanager
    def _locked(self, digest: str, *, shared: bool) -> Generator[None, None, None]:
        """One lock serves many recordings: none is ever deleted, and they stay few."""
        with ExitStack() as stack:
            with explained():
                stack.enter_context(locked(self._folder / LOCKS / digest[:2], shared=shared))
            yield

    def _place(self, owner: str, digest: str) -> Path:
        return self._folder / (owner or NOBODY) / digest

    def _part(self, upload_id: UploadId) -> Path:
        return self._incoming / f"{upload_id}.part"

    def _note(self, upload_id: UploadId) -> Path:
        return self._incoming / f"{upload_id}.json"

    def _write_note(self, upload: Upload) -> None:
        note: dict[str, Any] = {
            "owner": upload.owner,
            "name": upload.name,
            "length": upload.length,
            "created_at": upload.created_at.unix_s,
            "file_hash": upload.file_hash.value if upload.file_hash else None,
        }
        path = self._note(upload.id)
        with explained():
            new = path.with_suffix(".new")
            new.write_text(json.dumps(note), encoding="utf-8")
            new.replace(path)


class Incoming:
    """One recording that comes in one piece: hashed while it is written, gone when it is left."""

    def __init__(self, files: RecordingFiles, upload: Upload, path: Path) -> None:
        self._files = files
        self._upload = upload
        self._path = path
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, blocks: list[bytes]) -> None:
        with explained(), self._path.open("ab") as file:
            for block in blocks:
                file.write(block)
                self._hash.update(block)
                self.size_bytes += len(block)

    def finish(self) -> Recording:
        """On the disk when it returns. Raises MediaEmpty."""
        with explained(), self._path.open("rb") as file:
            os.fsync(file.fileno())
        return self._files.settle(self._upload, self._hash.hexdigest())

    def abandon(self) -> None:
        self._files.drop(self._upload.id)


class Appending:
    """The next piece of one that comes in several; on the disk when it is closed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, block: bytes) -> None:
        with explained():
            self._file.write(block)

    def close(self) -> None:
        with explained(), self._file as file:
            file.flush()
            os.fsync(file.fileno())


def _owner(folder: str) -> str:
    return "" if folder == NOBODY else folder


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
