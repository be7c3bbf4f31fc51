"""Tells by content which model a folder holds, and remembers it as long as no file changes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from stretto.contexts.core.errors import UnknownModel
from stretto.contexts.processing.adapters.hashing import sha256_of
from stretto.contexts.processing.adapters.model_folders import MODEL_FILES

FORMAT: Final = 1
"""Raise it when the way of hashing changes: older memos are not believed then."""

State = list[list[Any]]
"""For each file of a model its name, its size in bytes and when content and inode changed."""


class RevisionMemo:
    """Keeps the SHA-256 of model folders in a JSON file. Losing that file costs time only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def revision(self, folder: Path) -> str:
        """SHA-256 over names and contents of all model files, in hexadecimal.

        Raises UnknownModel when a file cannot be read.
        """
        key = str(folder.absolute())
        try:
            state = _state(folder)
            known = self._read().get(key)
            if isinstance(known, dict) and known.get("files") == state and _is_sha(known):
                return str(known["revision"])
            revision = _hash(folder)
        except OSError as cause:
            raise UnknownModel(f"The model in {folder} cannot be read: {cause}.") from cause
        self._write(key, {"files": state, "revision": revision})
        return revision

    def _read(self) -> dict[str, Any]:
        """Whatever is wrong with the memo, it says nothing then."""
        with suppress(OSError, ValueError, RecursionError):
            found = json.loads(self._path.read_text(encoding="utf-8"))
            if isinstance(found, dict) and found.get("format") == FORMAT:
                folders = found.get("folders")
                return folders if isinstance(folders, dict) else {}
        return {}

    def _write(self, key: str, entry: dict[str, Any]) -> None:
        """Atomic. Two processes at once may lose one's entry: it is computed again next time."""
        folders = {k: v for k, v in self._read().items() if Path(k).is_dir()} | {key: entry}
        text = json.dumps({"format": FORMAT, "folders": folders}, indent=1)
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".revisions-")
            temporary = Path(name)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(MODEL_FILES) if (folder / name).is_file()]


def _state(folder: Path) -> State:
    """The time of the inode is among it because `cp -p` and `rsync -a` set that of the content."""
    stats = [(path.name, path.stat()) for path in _files(folder)]
    return [[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for name, s in stats]


def _hash(folder: Path) -> str:
    """SHA-256 of the lines ``sha256  name``, as sha256sum writes them."""
    lines = []
    for path in _files(folder):
        with path.open("rb") as file:
            lines.append(f"{sha256_of(file)}  {path.name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _is_sha(entry: dict[str, Any]) -> bool:
    revision = entry.get("revision")
    return isinstance(revision, str) and len(revision) == 64
