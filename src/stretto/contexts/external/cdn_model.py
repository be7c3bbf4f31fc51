"""The nouns of the CDN: what is published of a transcript, where it lies, what is to be done."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self
from urllib.parse import quote

from stretto.contexts.core.errors import AssetDamaged, InvalidOption
from stretto.contexts.core.identifiers import Sha256, Timestamp, TranscriptId

PIECE_BYTES: Final = 1 << 20
CACHE_CONTROL: Final = "public, max-age=31536000, immutable"
"""A key names its content, so that what is behind it never changes (RFC 8246)."""

FIRST_DELAY_S: Final = 30.0
LONGEST_DELAY_S: Final = 3600.0
LONGEST_LINK_S: Final = 604_800
"""Seven days, the most that a signature of S3 (version 4) may last."""

_SUFFIX: Final = re.compile(r"\.[a-z0-9]{1,8}\Z")
_KEY: Final = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[0-9a-f]{64}(\.[a-z0-9]{1,8})?\Z"
)
_LONGEST_NAME: Final = 200


class AssetKind(StrEnum):
    """What an asset is to those who fetch it; a transcript has one of each at most."""

    AUDIO = "audio"
    ORIGINAL = "original"
    JSON = "json"
    VTT = "vtt"
    TXT = "txt"

    @classmethod
    def parse(cls, text: str) -> AssetKind:
        """Raises InvalidOption, which lists the kinds there are."""
        try:
            return cls(text.strip().lower())
        except ValueError as cause:
            known = ", ".join(cls)
            raise InvalidOption(f"{text[:32]!r} is not published. Use one of: {known}.") from cause


class AssetState(StrEnum):
    """``pending`` waits for its way to the store, ``purging`` for being deleted everywhere."""

    PENDING = "pending"
    STORED = "stored"
    PURGING = "purging"


class Place(StrEnum):
    """The edge is the store that listeners fetch from; the origin lies in the home folder."""

    EDGE = "edge"
    ORIGIN = "origin"


@dataclass(frozen=True, slots=True)
class AssetKey:
    """Where an asset lies in every store: ``transcript id/SHA-256.suffix``.

    Made of nothing that a user typed. Raises InvalidOption for anything of another form, so that
    no key leads out of its store.
    """

    value: str

    def __post_init__(self) -> None:
        if not _KEY.match(self.value):
            raise InvalidOption(f"{self.value[:120]!r} is not the key of an asset.")

    @classmethod
    def of(cls, transcript_id: TranscriptId, sha256: Sha256, suffix: str) -> Self:
        """``suffix`` is one of ours, such as ``.ogg``."""
        if not _SUFFIX.match(suffix):
            raise InvalidOption(f"{suffix[:32]!r} is not the suffix of an asset.")
        return cls(f"{transcript_id}/{sha256}{suffix}")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes that are known by their hash; ``pieces`` reads them again each time it is called."""

    sha256: Sha256
    size_bytes: int
    pieces: Callable[[], Iterator[bytes]]

    @classmethod
    def of_bytes(cls, data: bytes) -> Self:
        digest = Sha256(hashlib.sha256(data).hexdigest())
        return cls(sha256=digest, size_bytes=len(data), pieces=lambda: iter((data,)))

    @classmethod
    def of_pieces(cls, pieces: Callable[[], Iterator[bytes]]) -> Self:
        """Reads all of it once."""
        digest, size = hashlib.sha256(), 0
        for piece in pieces():
            digest.update(piece)
            size += len(piece)
        return cls(sha256=Sha256(digest.hexdigest()), size_bytes=size, pieces=pieces)

    def checked(self, where: str) -> Iterator[bytes]:
        """The pieces, the last of them only when all of it is what the hash says.

        Whoever stores what comes out of here never stores all of something else. Raises
        AssetDamaged; ``where`` says whose bytes they are.
        """
        digest, size, held = hashlib.sha256(), 0, b""
        for piece in self.pieces():
            digest.update(piece)
            size += len(piece)
            if size > self.size_bytes:
                break
            if held:
                yield held
            held = piece
        if size != self.size_bytes or digest.hexdigest() != self.sha256.value:
            raise AssetDamaged(
                f"What lies in {where} is not what was published: {size} bytes of another content "
                f"instead of {self.size_bytes}. Publish it again: stretto cdn publish"
            )
        yield held


@dataclass(frozen=True, slots=True, kw_only=True)
class CDNAsset:
    """One thing that is published of one transcript.

    ``name`` is what a listener's program calls it when it is saved; ``store`` is where it lies
    beside the origin, ``trouble`` why it does not lie there yet.
    """

    key: AssetKey
    transcript_id: TranscriptId
    kind: AssetKind
    sha256: Sha256
    size_bytes: int
    content_type: str
    name: str
    created_at: Timestamp
    state: AssetState = AssetState.PENDING
    store: str = ""
    attempts: int = 0
    trouble: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What every store has to answer with when it is fetched (RFC 6266, RFC 8246)."""
        return {
            "Content-Type": self.content_type,
            "Cache-Control": CACHE_CONTROL,
            "Content-Disposition": f"inline; filename*=UTF-8''{quote(self.name, safe='')}",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CDNLocation:
    """Where an asset can be fetched just now; ``reason`` says why it is not the edge.

    ``region`` is that of the store, as far as it is known. ``expires_at`` None: it does not.
    """

    place: Place
    store: str
    url: str
    region: str = ""
    expires_at: Timestamp | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Something to be published: its kind, its content, and how it is to be served."""

    kind: AssetKind
    content: Content
    suffix: str
    content_type: str
    name: str

    def asset(self, transcript_id: TranscriptId, *, at: Timestamp) -> CDNAsset:
        return CDNAsset(
            key=AssetKey.of(transcript_id, self.content.sha256, self.suffix),
            transcript_id=transcript_id,
            kind=self.kind,
            sha256=self.content.sha256,
            size_bytes=self.content.size_bytes,
            content_type=self.content_type,
            name=served_name(self.name, self.suffix),
            created_at=at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How many assets there are in a state, and their bytes."""

    state: AssetState
    assets: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which asset there is to work on: the first behind the key ``after``, for ``seconds``.

    ``early`` takes those too that are to wait longer; ``transcript_id`` only those of one.
    """

    now: Timestamp
    seconds: float
    after: str = ""
    early: bool = False
    transcript_id: TranscriptId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What one run through the list did; ``troubles`` are sentences, each of them once."""

    stored: int = 0
    purged: int = 0
    postponed: int = 0
    troubles: tuple[str, ...] = ()


def served_name(file: str, suffix: str) -> str:
    """The recording's name with another suffix, harmless whatever the recording was called.

    Example: ``../talk\\r\\n.wav`` becomes ``talk.ogg``.
    """
    last = re.split(r"[/\\]", file)[-1]
    stem = "".join(c for c in last if c.isprintable()).rpartition(".")
    plain = stem[0 if stem[1] else 2].strip(" .")[:_LONGEST_NAME]
    return f"{plain or 'recording'}{suffix}"


def next_delay_s(attempts: int, *, chance: float) -> float:
    """Before the next attempt, after ``attempts`` of them failed; ``chance`` is in [0, 1).

    Full jitter, doubling (Brooker, "Exponential Backoff And Jitter", 2015), but never at once:
    between a half and all of 30 s, 60 s, 120 s … an hour.
    """
    longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempts - 1, 16))
    return longest * (0.5 + chance / 2)
