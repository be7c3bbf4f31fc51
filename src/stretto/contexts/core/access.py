"""Who may do what: owners, scopes, and the keys by which a server knows whom it has before it."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp, UniqueId

KEY_PREFIX: Final = "stretto_"
KEY_BYTES: Final = 32
"""256 bits of chance: a plain hash of it cannot be guessed back."""

_OWNER: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")


class Scope(StrEnum):
    READ = "read"
    """Look at one's own jobs, transcripts and recordings."""

    WRITE = "write"
    """Transcribe, edit, cancel, delete."""

    ADMIN = "admin"
    """All of that for everybody's things, and the machinery."""


EVERY_SCOPE: Final = frozenset(Scope)


class AccessKeyId(UniqueId):
    """Names one key without being it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """What is kept of a key: its hash, never itself."""

    id: AccessKeyId
    sha256: str
    owner: str
    scopes: frozenset[Scope]
    created_at: Timestamp
    revoked_at: Timestamp | None = None

    def __post_init__(self) -> None:
        if not _OWNER.match(self.owner):
            raise InvalidOption(
                f"An owner is up to 63 small letters, digits, dots, hyphens and underscores, not "
                f"{self.owner[:64]!r}."
            )
        if not self.scopes:
            raise InvalidOption(f"A key needs a scope: {', '.join(Scope)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks. ``key`` tells callers with keys apart; the one user of a machine has none."""

    owner: str = ""
    scopes: frozenset[Scope] = EVERY_SCOPE
    key: AccessKeyId | None = None

    @classmethod
    def with_key(cls, key: AccessKey) -> Self:
        return cls(owner=key.owner, scopes=key.scopes, key=key.id)

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def may_see(self, owner: str) -> bool:
        return owner == self.owner or Scope.ADMIN in self.scopes

    @property
    def sees(self) -> str | None:
        """Whose things are listed for the caller; None: everybody's."""
        return None if Scope.ADMIN in self.scopes else self.owner


def new_secret() -> str:
    """A key as it is shown once."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def hash_of_secret(secret: str) -> str:
    """Example: the hash under which a key is looked up, 64 hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def scopes_from(text: str) -> frozenset[Scope]:
    """``read,write`` as scopes. Raises InvalidOption."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    wrong = sorted(set(names) - set(Scope))
    if wrong or not names:
        shown = wrong[0][:32] if wrong else text[:32]
        raise InvalidOption(f"A scope is one of {', '.join(Scope)}, not {shown!r}.")
    return frozenset(Scope(name) for name in names)
