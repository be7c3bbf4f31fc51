"""Fetches what lies at an address that somebody else named: never more than is wanted, never for
longer, and over redirects only to where one may go as well."""

from __future__ import annotations

import http.client
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from stretto.contexts.core.errors import AddressRefused, MediaNotFetched, MediaTooLarge
from stretto.contexts.external.adapters.guarded_connection import (
    GuardedConnections,
    Watchdog,
    why,
)
from stretto.contexts.external.address_guard import Target

MOST_HOPS: Final = 3
MOVED: Final = frozenset({301, 302, 303, 307, 308})
BLOCK_BYTES: Final = 1 << 18
LONGEST_HEADER: Final = 1024
"""In which a name is looked for."""

HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # what unfolds has no limit that one could see
    "Connection": "close",
    "User-Agent": "stretto",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What is coming: ``name`` is what the other side calls it, or what its address says.

    The blocks raise MediaNotFetched and MediaTooLarge.
    """

    name: str
    blocks: Iterator[bytes]


class GuardedFetch:
    """``most_bytes`` is the largest recording that is taken."""

    def __init__(self, connections: GuardedConnections, *, most_bytes: int) -> None:
        self._connections = connections
        self._most_bytes = most_bytes

    @contextmanager
    def fetched(self, url: str, watchdog: Watchdog) -> Generator[Fetched, None, None]:
        """Until the block ends, or ``watchdog`` bites. Raises AddressRefused, MediaNotFetched and
        MediaTooLarge; of the URL they show nothing but the host."""
        for _ in range(MOST_HOPS + 1):
            target = self._connections.target(url)
            with self._asked(target, watchdog) as answer:
                moved = _moved(answer, target, url)
                if moved is None:
                    yield self._read(answer, url, watchdog)
                    return
            url = moved
        raise MediaNotFetched(
            f"The recording was not fetched: one is sent on more than {MOST_HOPS} times."
        )

    @contextmanager
    def _asked(
        self, target: Target, watchdog: Watchdog
    ) -> Generator[http.client.HTTPResponse, None, None]:
        with ExitStack() as open_now:
            with _explained(target.host, watchdog):
                opening = self._connections.opened(target, watchdog)
                connection = open_now.enter_context(opening)
                sent = {"Host": target.authority, **HEADERS}
                connection.request("GET", target.path, headers=sent)
                answer = open_now.enter_context(connection.getresponse())
            yield answer

    def _read(self, answer: http.client.HTTPResponse, url: str, watchdog: Watchdog) -> Fetched:
        host = urlsplit(url).hostname or ""
        if answer.status != 200:
            raise _not_fetched(host, f"it answered {answer.status}")
        if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise _not_fetched(host, "it sends the recording compressed, unasked")
        length = None if answer.chunked else answer.length
        if length is not None and length > self._most_bytes:
            raise self._too_large(length)
        return Fetched(
            name=_name_of(answer, url), blocks=self._blocks(answer, host, length, watchdog)
        )

    def _blocks(
        self,
        answer: http.client.HTTPResponse,
        host: str,
        length: int | None,
        watchdog: Watchdog,
    ) -> Iterator[bytes]:
        come = 0
        while length is None or come < length:
            with _explained(host, watchdog):
                block = answer.read1(BLOCK_BYTES)
            if watchdog.has_bitten:
                raise _not_fetched(host, "it takes too long")
            if not block:
                break
            come += len(block)
            if come > self._most_bytes:
                raise self._too_large(come)
            yield block
        if length is not None and come < length:
            raise _not_fetched(host, f"it broke off after {come} of {length} bytes")

    def _too_large(self, size: int) -> MediaTooLarge:
        return MediaTooLarge(
            f"Maximum content size limit ({self._most_bytes}) exceeded ({size} bytes read)"
        )


@contextmanager
def _explained(host: str, watchdog: Watchdog) -> Generator[None, None, None]:
    """Trouble of the network as an error of ours."""
    try:
        yield
    except AddressRefused:
        raise
    except (OSError, http.client.HTTPException, ValueError) as cause:
        said = "it takes too long" if watchdog.has_bitten else why(cause)
        raise _not_fetched(host, said) from cause


def _not_fetched(host: str, said: str) -> MediaNotFetched:
    return MediaNotFetched(f"The recording was not fetched from {host}: {said}.")


def _moved(answer: http.client.HTTPResponse, target: Target, url: str) -> str | None:
    """Where one is sent on to from ``url``."""
    if answer.status not in MOVED:
        return None
    place = answer.headers.get("Location", "")
    if not place:
        raise _not_fetched(target.host, f"it answered {answer.status} and does not say where to go")
    try:
        return urljoin(url, place)
    except ValueError as cause:
        said = f"it answered {answer.status}, and where to go is no address"
        raise _not_fetched(target.host, said) from cause


def _name_of(answer: http.client.HTTPResponse, url: str) -> str:
    return _named_in(answer.headers) or unquote(urlsplit(url).path.rpartition("/")[2])


def _named_in(headers: http.client.HTTPMessage) -> str:
    """What the other side calls it, or nothing: the library takes the square of a header's length
    for it, which may be megabytes, and fails at some in many ways."""
    read = (headers.get(name, "") for name in ("Content-Disposition", "Content-Type"))
    if any(len(header) > LONGEST_HEADER for header in read):
        return ""
    try:
        return headers.get_filename("")
    except Exception:  # TypeError, UnicodeError and whatever else can be made of it
        return ""
