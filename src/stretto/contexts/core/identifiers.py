"""Typed identifiers and small validated values that every context shares."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Self

from stretto.contexts.core.errors import InvalidHash, InvalidIdentifier, InvalidLanguage
from stretto.contexts.core.languages import ALIASES, ENGLISH_NAMES

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class UniqueId:
    """A UUID with a type of its own, so that two kinds of ids cannot be mixed up."""

    value: uuid.UUID

    @classmethod
    def new(cls) -> Self:
        return cls(uuid.uuid4())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidIdentifier when ``text`` is not a UUID."""
        try:
            return cls(uuid.UUID(text))
        except ValueError as cause:
            raise InvalidIdentifier(f"{text[:64]!r} is not an id (a UUID).") from cause

    def __str__(self) -> str:
        return str(self.value)


class TranscriptId(UniqueId):
    """Names one stored transcript."""

    __slots__ = ()


class JobId(UniqueId):
    """Names one job: one request to transcribe one file."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Sha256:
    """64 lower-case hexadecimal digits. Raises InvalidHash for anything else."""

    value: str

    def __post_init__(self) -> None:
        if not _SHA256.match(self.value):
            raise InvalidHash(f"{self.value[:80]!r} is not a SHA-256 in lower-case hexadecimal.")

    def __str__(self) -> str:
        return self.value


class FileHash(Sha256):
    """SHA-256 over the bytes of a file as it lies on the disk."""

    __slots__ = ()


class AudioHash(Sha256):
    """SHA-256 over decoded samples (16 kHz, mono, 16-bit little-endian): blind to the container."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ChunkId:
    """Names one chunk of one transcript: its place in the file and its content."""

    index: int
    audio: AudioHash

    def __str__(self) -> str:
        return f"{self.index}-{self.audio.value[:12]}"


@dataclass(frozen=True, slots=True)
class Language:
    """A spoken language by its ISO 639-1 code, such as ``en``.

    ``haw`` and ``yue`` have no two-letter code and keep their ISO 639-3 one.
    Raises InvalidLanguage for a code that is not in the list.
    """

    code: str

    def __post_init__(self) -> None:
        if self.code not in ENGLISH_NAMES:
            raise InvalidLanguage(
                f"{self.code[:32]!r} is not a language code. Use ISO 639-1, such as en, ru or de."
            )

    @classmethod
    def parse(cls, text: str) -> Language:
        """Accepts ``EN``, ``en-US``, ``english`` and Whisper's ``jw`` for Javanese."""
        plain = text.strip().lower()
        short = re.split(r"[-_]", plain, maxsplit=1)[0]
        by_name = {name.lower(): code for code, name in ENGLISH_NAMES.items()}
        return cls(by_name.get(plain) or ALIASES.get(short, short))

    @property
    def english_name(self) -> str:
        return ENGLISH_NAMES[self.code]

    def __str__(self) -> str:
        return self.code


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A moment: seconds since 1970-01-01 00:00 UTC (Unix time), fractions included."""

    unix_s: float
