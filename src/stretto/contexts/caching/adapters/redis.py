"""The level that many processes share: Redis, or a server that speaks its language.

An entry is one string (redis_entry.py) under ``stretto:cache:{name}:{key}``, with a lifetime.
``name`` and the secret of the seals are made of the identity of the database whose processes share
it, which is a random number and is told to nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from stretto.contexts.caching.adapters.redis_deadline import bounded
from stretto.contexts.caching.adapters.redis_entry import LABEL_BYTES, closed, labelled, opened
from stretto.contexts.caching.breaker import Breaker, described
from stretto.contexts.caching.model import (
    CacheEntry,
    CacheKey,
    CacheLevel,
    Invalidation,
    LevelStatus,
)
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as cause:
    raise InvalidOption(
        "The cache in Redis needs a package that is not installed. "
        "Install it with: pip install 'stretto[redis]'"
    ) from cause

TIMEOUT_S: Final = 0.04
"""How long an answer may take, to its last byte, before it counts as trouble, which is then not
asked again."""

PROBE_TIMEOUT_S: Final = 2.0
IN_ONE_SCAN: Final = 500
MOST_COUNTED: Final = 20_000
"""With more entries than that nobody waits until all of them are counted."""


Answer = TypeVar("Answer")


class RedisCacheStore:
    """Every method raises at once while the server is known to be in trouble.

    ``identity`` is asked before the first use. A server that is full and may not evict refuses
    new entries and goes on serving the others.
    """

    def __init__(
        self,
        url: str,
        *,
        identity: Callable[[], str],
        now: Callable[[], Timestamp],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url = url
        self._identity = identity
        self._now = now
        self._prefix, self._secret = "", b""
        self._client = bounded(_client(url, timeout_s))
        self._patient = _client(url, timeout_s)
        """For what takes as long as there are entries: each read has the limit, not all of it."""

        self._breaker = Breaker(self._probe)

    def get(self, key: CacheKey) -> CacheEntry | None:
        """A value that was not written here for this key, or is damaged, is deleted."""
        self._breaker.pass_or_raise()
        name = self._prefix + key.value
        try:
            data = self._client.get(name)
        except redis.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            data = b""
        except (redis.RedisError, OSError) as error:
            raise self._broken(error) from error
        if data is None:
            return None
        entry = opened(data, key, self._secret)
        if entry is None:
            self.delete(key)
        return entry

    def put(self, entry: CacheEntry) -> None:
        self._breaker.pass_or_raise()
        data = closed(entry, self._secret)
        lifetime_ms = None
        if entry.expires_at is not None:
            lifetime_ms = round((entry.expires_at.unix_s - self._now().unix_s) * 1000)
            if lifetime_ms <= 0:
                return
        self._ask(lambda: self._client.set(self._name(entry.key), data, px=lifetime_ms))

    def delete(self, key: CacheKey) -> None:
        self._ask(lambda: self._client.unlink(self._name(key)))

    def delete_struck(self, invalidation: Invalidation) -> int:
        """Waits for a server that was never asked: whoever deletes wants it done."""
        self._breaker.settle(PROBE_TIMEOUT_S)
        removed = 0
        for names in self._names():
            labels = self._labels(names)
            struck = [
                name
                for name, entry in zip(names, labels, strict=True)
                if entry is None or invalidation.strikes(entry)
            ]
            if struck:
                self._ask(lambda struck=struck: self._patient.unlink(*struck))  # type: ignore[misc]
            removed += len(struck)
        return removed

    def status(self) -> LevelStatus:
        """Waits for a server that was never asked; for one in trouble it does not. Of very many
        entries it does not say how many."""
        place = shown(self._url)
        if not self._breaker.settle(PROBE_TIMEOUT_S):
            return _out_of_order(place, self._breaker.trouble)
        entries = size_bytes = 0
        speech_s = 0.0
        try:
            for names in self._names():
                sizes = self._each(names, lambda pipe, name: pipe.strlen(name))
                for size, entry in zip(sizes, self._labels(names), strict=True):
                    entries += 1
                    size_bytes += size if isinstance(size, int) else 0
                    speech_s += entry.speech_s if entry else 0.0
                if entries > MOST_COUNTED:
                    return LevelStatus(level=CacheLevel.L2, working=True, place=place)
        except (redis.RedisError, OSError) as error:
            return _out_of_order(place, described(error))
        return LevelStatus(
            level=CacheLevel.L2,
            working=True,
            place=place,
            entries=entries,
            size_bytes=size_bytes,
            speech_s=speech_s,
        )

    def close(self) -> None:
        self._breaker.close()
        self._client.close()
        self._patient.close()

    def _name(self, key: CacheKey) -> str:
        return self._prefix + key.value

    def _names(self) -> Iterator[list[bytes]]:
        """The names of all entries of this cache, some hundred at a time; some may come twice."""
        self._breaker.pass_or_raise()
        cursor = 0
        while True:
            cursor, names = self._ask(
                lambda at=cursor: self._patient.scan(  # type: ignore[misc]
                    at, match=f"{self._prefix}*", count=IN_ONE_SCAN
                )
            )
            if names:
                yield names
            if not cursor:
                return

    def _labels(self, names: list[bytes]) -> list[CacheEntry | None]:
        """What the entries say of themselves, without their parcels."""
        read = self._each(names, lambda pipe, name: pipe.getrange(name, 0, LABEL_BYTES - 1))
        beginning = len(self._prefix)
        return [
            labelled(data, name[beginning:].decode("utf-8", "replace"), self._secret)
            for data, name in zip(read, names, strict=True)
        ]

    def _each(self, names: list[bytes], ask: Callable[[Any, bytes], object]) -> list[Any]:
        def piped() -> list[Any]:
            with self._patient.pipeline(transaction=False) as pipe:
                for name in names:
                    ask(pipe, name)
                return list(pipe.execute(raise_on_error=False))

        return self._ask(piped)

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        self._breaker.pass_or_raise()
        try:
            return call()
        except redis.ResponseError:
            raise  # it answers: full, or of another opinion
        except (redis.RedisError, OSError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> ConnectionError:
        self._breaker.failed(error)
        return ConnectionError(described(error))

    def _probe(self) -> None:
        if not self._prefix:
            self._prefix, self._secret = place_of(self._identity())
        with _client(self._url, PROBE_TIMEOUT_S) as client:
            client.ping()
        self._client.ping()  # opens the connection that the next call will use


def place_of(identity: str) -> tuple[str, bytes]:
    """How the names of a database's entries begin, and the secret of their seals."""

    def made(person: bytes, size: int) -> hashlib.blake2b:
        return hashlib.blake2b(identity.encode(), digest_size=size, person=person)

    return f"stretto:cache:{made(b'name', 16).hexdigest()}:", made(b"seal", 32).digest()


def shown(url: str) -> str:
    """The URL as it may be shown: without a password."""
    parts = urlsplit(url)
    who = "***@" if parts.username or parts.password else ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{who}{host}{parts.path}"


def _out_of_order(place: str, trouble: str) -> LevelStatus:
    return LevelStatus(level=CacheLevel.L2, working=False, place=place, trouble=trouble)


def _client(url: str, timeout_s: float) -> Any:
    """Answers are bytes. It never tries twice: that would be waited for."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,
        protocol=2,  # neither of the two greetings costs a round trip then
        client_name=_greeting(url),
    )


def _greeting(url: str) -> str | None:
    """What a connection says first, so that it reads something before it is used. With TLS 1.3 a
    server sends tickets after the handshake (RFC 8446, 4.6.1), and the client takes a connection
    on which something has come that nobody asked for to be broken."""
    return "stretto" if url.startswith("rediss") else None
