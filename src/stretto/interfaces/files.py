"""Where results go and how they get there: never half a file, never onto a recording."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from stretto.contexts.core.errors import (
    InvalidOption,
    OutputNotWritable,
    StorageFull,
    StrettoError,
)
from stretto.interfaces.formats import format_named

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_SENTENCES: Final[Mapping[int, str]] = {
    errno.EACCES: "you may not write there. Choose another place with --output.",
    errno.EPERM: "you may not write there. Choose another place with --output.",
    errno.EROFS: "that disk is read-only. Choose another place with --output.",
    errno.ENOENT: "its folder does not exist and cannot be made. Choose another --output.",
    errno.ENOTDIR: "a part of its path is a file, not a folder. Choose another --output.",
    errno.EISDIR: "it is a folder. Give the name of a file, or a folder with / at its end.",
    errno.ENAMETOOLONG: "its name is too long. Give a shorter one with --output.",
}


def write_atomically(path: Path, text: str) -> None:
    """Put ``text`` (as UTF-8) at ``path``: afterwards all of it is there, or what was before.

    A link is followed; a file that is replaced keeps its permissions, a new one gets those of
    the umask. A device or a pipe is written to as it is. Raises StorageFull or OutputNotWritable,
    and leaves nothing behind then.
    """
    data = text.encode("utf-8", errors="replace")
    try:
        target = Path(os.path.realpath(path))
        mode = _mode_of(target)
        if mode is None or stat.S_ISREG(mode):
            _replace(target, data, mode)
        else:
            target.write_bytes(data)
    except OSError as cause:
        raise _explained(path, cause) from cause
    except ValueError as cause:  # a NUL in the name
        raise OutputNotWritable(f"{str(path)!r} cannot be the name of a file.") from cause


def prepare_folder(folder: Path) -> None:
    """Create ``folder`` if it is not there, and see that a file can be made in it.

    Raises OutputNotWritable and StorageFull now, not after hours of work.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe, descriptor = _create_beside(folder / "stretto")
        os.close(descriptor)
        probe.unlink()
    except OSError as cause:
        raise _explained(folder, cause) from cause


def output_paths(
    inputs: Sequence[Path], *, formats: Sequence[str], output: str | Path | None
) -> tuple[dict[str, Path], ...]:
    """For every input, in order, the file for each format by its name.

    ``output`` None means beside the input. It is a file for one input and one format, unless it
    is an existing folder or ends in ``/``; in all other cases it is a folder. Inputs that share
    a stem keep their suffix (``talk.mp3.srt``), and then get a number. No result falls on another
    or on an input. Raises InvalidOption for an unknown format and where that cannot be had.
    """
    suffixes = {name: format_named(name).suffix for name in formats}
    single = len(inputs) == len(suffixes) == 1
    if output is not None and single and not _is_folder(output):
        return (dict.fromkeys(suffixes, _apart_from(inputs[0], Path(output))),)
    if output is not None and os.path.exists(output) and not _is_folder(output):  # noqa: PTH110
        raise InvalidOption(
            f"{str(output)!r} is a file, but there are several results. Give a folder."
        )
    folders = [path.parent if output is None else Path(output) for path in inputs]
    return tuple(_named_apart(inputs, folders, suffixes))


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    temporary, descriptor = _create_beside(target)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            if mode is not None:
                os.fchmod(descriptor, stat.S_IMODE(mode))
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _create_beside(target: Path) -> tuple[Path, int]:
    """A new file of our own in the same folder; its name is short because names have a limit."""
    for number in count():
        temporary = target.with_name(f".stretto-{os.getpid()}-{number}.tmp")
        with suppress(FileExistsError):
            return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    raise AssertionError  # count() never ends


def _sync_folder(folder: Path) -> None:
    """The file is whole already, so that a folder which cannot be synced is no failure."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _mode_of(target: Path) -> int | None:
    """None when nothing is there. Raises OSError for a folder or a protected file."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not os.access(target, os.W_OK):  # replacing would get round a file's protection
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    return mode


def _explained(path: Path, cause: OSError) -> StrettoError:
    if cause.errno in _FULL:
        return StorageFull(
            f"{str(path)!r} was not written: the disk is full. Free some space and run the same "
            "command again: finished work is kept."
        )
    why = _SENTENCES.get(cause.errno or 0, f"{cause.strerror or cause}.")
    return OutputNotWritable(f"{str(path)!r} cannot be written: {why}")


def _is_folder(output: str | Path) -> bool:
    return str(output).endswith("/") or os.path.isdir(output)  # noqa: PTH112 - never raises


def _apart_from(recording: Path, path: Path) -> Path:
    if _identity(path) == _identity(recording):
        raise InvalidOption(
            f"{str(path)!r} is the recording itself; it would be lost. Choose another --output."
        )
    return path


def _identity(path: Path) -> str:
    """Equal for paths that may be one file: links are followed, and some disks ignore case."""
    return os.path.realpath(path).casefold()


def _named_apart(
    inputs: Sequence[Path], folders: Sequence[Path], suffixes: Mapping[str, str]
) -> Iterator[dict[str, Path]]:
    stems = [_identity(folder / path.stem) for path, folder in zip(inputs, folders, strict=True)]
    shared = Counter(stems)
    taken = {_identity(path) for path in inputs}
    for path, folder, stem in zip(inputs, folders, stems, strict=True):
        for name in _names(path, ambiguous=shared[stem] > 1):
            results = {key: folder / f"{name}{suffix}" for key, suffix in suffixes.items()}
            identities = {_identity(result) for result in results.values()}
            if taken.isdisjoint(identities):
                taken |= identities
                yield results
                break


def _names(path: Path, *, ambiguous: bool) -> Iterator[str]:
    if not ambiguous:
        yield path.stem
    yield path.name
    yield from (f"{path.name}.{number}" for number in count(2))
