"""The nouns of recordings that were handed in: what they are called, and those that are on their
way."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import FileHash, Timestamp, UniqueId

LONGEST_NAME_BYTES: Final = 180
NAMELESS: Final = "recording"
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")


class UploadId(UniqueId):
    """Names one recording that is on its way."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording that is here as a whole; ``owner`` is empty on a machine that has one user.
    ``is_new`` says that it was not here before."""

    owner: str
    file_hash: FileHash
    path: Path
    size_bytes: int
    is_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A recording that comes in pieces: ``offset`` of ``length`` bytes are here, and on the disk.

    ``file_hash`` is known once all are.
    """

    id: UploadId
    owner: str
    name: str
    length: int
    offset: int
    created_at: Timestamp
    file_hash: FileHash | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.offset <= self.length:
            raise InvalidOption(f"{self.offset} is no place in {self.length} bytes.")

    @property
    def is_complete(self) -> bool:
        return self.offset == self.length


def safe_name(name: str) -> str:
    """What a recording is called here, whatever it was called elsewhere: one part of a path without
    control and direction characters, with no dot or hyphen at its beginning, and short enough for
    every file system. Its last suffix is kept.

    Example: ``../../Talk\\n.mp3`` is ``Talk.mp3``.
    """
    last = re.split(r"[/\\]", name)[-1]
    visible = "".join(c for c in unicodedata.normalize("NFC", last) if _is_harmless(c))
    plain = " ".join(visible.split()).lstrip(".- ").rstrip(". ")
    found = _SUFFIX.search(plain)
    suffix = found[0] if found else ""
    stem = plain[: len(plain) - len(suffix)].rstrip(". ")
    while len((stem + suffix).encode()) > LONGEST_NAME_BYTES:
        stem = stem[:-1]
    return (stem or NAMELESS) + suffix


def _is_harmless(character: str) -> bool:
    """Neither a control, a format (such as right-to-left override), a surrogate nor unassigned."""
    return not unicodedata.category(character).startswith("C") and character not in ':*?"<>|'
