"""The nouns of the network: endpoints, requests, answers, and what can go wrong on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import urlsplit

from stretto.contexts.core.errors import InvalidOption


class Piece(Protocol):
    """A part of a body; a body is a tuple of them, so that it can be sent again without a copy.
    What lies elsewhere than in memory is read when it is its turn."""

    def __len__(self) -> int:
        """Bytes."""

    def __getitem__(self, part: slice, /) -> bytes | memoryview: ...


MEBIBYTE: Final = 2**20
LONGEST_ANSWER_BYTES: Final = 8 * MEBIBYTE
"""Nothing that is asked of a service has so long an answer."""


@dataclass(frozen=True, slots=True)
class APIEndpoint:
    """Where a service listens: an address under which its paths lie.

    Only https, except for this very machine: a key is never sent in the clear. Raises
    InvalidOption. Example: ``https://api.example.org/v1`` has the origin ``api.example.org:443``.
    """

    url: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            valid = bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid or parts.query or parts.fragment or "@" in parts.netloc:
            raise InvalidOption(
                f"{self.url[:80]!r} is not the address of a service; it looks like "
                "https://api.example.org/v1"
            )
        if parts.scheme != "https" and not (parts.scheme == "http" and self.local):
            raise InvalidOption(
                f"{self.url[:80]!r} would send the recording and the key in the clear; "
                "the address has to begin with https://"
            )

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.encrypted else 80)

    @property
    def encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def local(self) -> bool:
        return self.host in {"localhost", "127.0.0.1", "::1"}

    @property
    def authority(self) -> str:
        """The host as a request names it, with its port unless it is the usual one."""
        return urlsplit(self.url).netloc.lower()

    def path(self, below: str) -> str:
        return urlsplit(self.url).path.rstrip("/") + below


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds for each phase of a call. ``stall_s`` is how long the upload, or the answer once it
    has begun, may stand still; ``answer_s`` how long the service may think."""

    connect_s: float = 10.0
    stall_s: float = 30.0
    answer_s: float = 300.0


SHORTEST_KEY: Final = 4
"""What is shorter is no secret, and a part of too many words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class APIRequest:
    """``headers`` hold the key, ``body`` the recording: neither is shown. What is longer than
    ``longest_answer_bytes`` is not read to its end, nor kept."""

    endpoint: APIEndpoint
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: tuple[Piece, ...] = field(default=(), repr=False)
    longest_answer_bytes: int = LONGEST_ANSWER_BYTES

    @property
    def size_bytes(self) -> int:
        return sum(len(piece) for piece in self.body)

    def without_key(self, said: bytes) -> bytes:
        """What a service says, without our key in it: some repeat the key that they refuse, and
        what they say goes into logs, jobs and answers to whoever asked us."""
        for name, value in self.headers:
            key = value.removeprefix("Bearer ")
            if name == "authorization" and len(key) >= SHORTEST_KEY:
                said = _spellings(key).sub(b"***", said)
        return said


def _spellings(key: str) -> re.Pattern[bytes]:
    """The key as it is, and in all ways in which JSON may write it (RFC 8259, section 7)."""
    written = (
        rf"(?:{re.escape(letter)}|\\{re.escape(letter)}|\\u(?i:{ord(letter):04x}))"
        for letter in key
    )
    return re.compile("".join(written).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class APIResponse:
    """``headers`` have names in lower case; of one that came more than once, the last value."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    protocol: str


class Phase(StrEnum):
    """How far a call had come when it failed."""

    CONNECTING = "connecting"
    SENDING = "sending"
    WAITING = "waiting for the answer"
    RECEIVING = "receiving the answer"


class CallFailed(Exception):
    """A call came to no answer. ``unseen`` says that the service certainly did not look at it;
    ``permanent`` that the next try would end the same."""

    def __init__(
        self, reason: str, *, phase: Phase, unseen: bool = False, permanent: bool = False
    ) -> None:
        super().__init__(reason)
        self.phase = phase
        self.unseen = unseen
        self.permanent = permanent


def too_long(longest_bytes: int) -> CallFailed:
    """The next answer would be as long."""
    return CallFailed(
        f"The answer is longer than {longest_bytes} bytes, far more than a transcript has.",
        phase=Phase.RECEIVING,
        permanent=True,
    )


def announced_bytes(headers: Mapping[str, str]) -> int:
    """What the head of an answer says of its length; 0 when it says nothing."""
    said = headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 20 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionMetrics:
    """Counts since the program began; ``handshakes`` are those of TLS, finished ones."""

    opened: int = 0
    handshakes: int = 0
    failed: int = 0
    closed: int = 0
    requests: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    goaways: int = 0
    resets: int = 0
