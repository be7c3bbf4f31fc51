"""One connection to a service, whatever its protocol, and how it is opened."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, Protocol

from stretto.contexts.external.adapters.counting import Counts
from stretto.contexts.external.adapters.http1 import Http1Connection
from stretto.contexts.external.adapters.http2 import Http2Connection
from stretto.contexts.external.adapters.tunnel import Proxy, tunnelled
from stretto.contexts.external.model import (
    APIEndpoint,
    APIRequest,
    APIResponse,
    CallFailed,
    Phase,
    Timeouts,
)

PROTOCOLS: Final = ["h2", "http/1.1"]


class APIConnection(Protocol):
    """A persistent connection. Used by the thread of the connections alone."""

    protocol: str
    in_use: int
    idle_since: float
    ready: asyncio.Event
    gone: asyncio.Event

    @property
    def open(self) -> bool:
        """Whether it takes new requests; one that does not may still finish others."""

    @property
    def room(self) -> int:
        """How many requests more it takes at this moment."""

    async def send(self, request: APIRequest, timeouts: Timeouts) -> APIResponse:
        """Raises CallFailed. To cancel it calls the request back, and spares the connection."""

    def close(self) -> None:
        """Whatever is on its way fails; ``gone`` is set once the service knows."""

    def abort(self) -> None:
        """Do not wait for the service to say goodbye."""

    def keep_alive(self, quiet_s: float) -> None:
        """While requests wait and nothing was heard for so long: ask whether anybody is there, and
        give the connection up when there is no answer in as long again."""


def trusting(authority: str | None) -> ssl.SSLContext:
    """Verifies names and certificates, always; ``authority`` is a file with the certificates to
    trust instead of the system's. Raises OSError and ssl.SSLError for an unusable file."""
    context = ssl.create_default_context(cafile=authority or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(PROTOCOLS)
    return context


async def opened(
    endpoint: APIEndpoint,
    *,
    tls: ssl.SSLContext,
    timeout_s: float,
    counts: Counts,
    changed: Callable[[], None],
    proxy: Proxy | None = None,
) -> APIConnection:
    """Raises CallFailed. ``changed`` is told when the connection takes more requests, or none."""
    greeting = _Greeting(counts, changed)
    try:
        async with asyncio.timeout(timeout_s):
            await _connect(greeting, endpoint, tls if endpoint.encrypted else None, proxy)
            connection = greeting.connection
            assert connection is not None
            await connection.ready.wait()  # the service says how much it takes at once
    except TimeoutError as cause:
        counts.add("failed")
        if greeting.connection is not None:
            greeting.connection.abort()
        raise _unreachable(endpoint, f"no connection within {timeout_s:.0f} s") from cause
    except CallFailed:
        counts.add("failed")
        raise
    except asyncio.CancelledError:
        if greeting.connection is not None:
            greeting.connection.abort()
        raise
    except ssl.SSLCertVerificationError as cause:
        counts.add("failed")
        raise CallFailed(
            f"The certificate of {endpoint.host} is not trusted: {cause.verify_message}. If it is "
            "your own authority's, name its file in STRETTO_REMOTE_CA_FILE.",
            phase=Phase.CONNECTING,
            unseen=True,
            permanent=True,
        ) from cause
    except (OSError, ssl.SSLError) as cause:
        counts.add("failed")
        raise _unreachable(endpoint, cause.strerror or str(cause)) from cause
    if not connection.open:
        connection.abort()
        raise _unreachable(endpoint, "the connection was closed at once")
    return connection


async def _connect(
    greeting: _Greeting, endpoint: APIEndpoint, tls: ssl.SSLContext | None, proxy: Proxy | None
) -> None:
    loop = asyncio.get_running_loop()
    if proxy is None:
        await loop.create_connection(
            lambda: greeting, endpoint.host, endpoint.port, happy_eyeballs_delay=0.25, ssl=tls
        )
        return
    bare = await tunnelled(proxy, endpoint)
    if tls is None:
        raise _unreachable(endpoint, "only what is encrypted goes through a proxy")
    try:
        secure = await loop.start_tls(bare, greeting, tls, server_hostname=endpoint.host)
    except BaseException:
        bare.abort()
        raise
    assert secure is not None
    greeting.connection_made(secure)


def _unreachable(endpoint: APIEndpoint, why: str) -> CallFailed:
    return CallFailed(
        f"{endpoint.host}:{endpoint.port} cannot be reached: {why}",
        phase=Phase.CONNECTING,
        unseen=True,
    )


class _Greeting(asyncio.Protocol):
    """Looks which protocol was agreed on, and makes way for it."""

    def __init__(self, counts: Counts, changed: Callable[[], None]) -> None:
        self._counts = counts
        self._changed = changed
        self.connection: APIConnection | None = None
        self._early = b""

    def data_received(self, data: bytes) -> None:
        """What comes through a tunnel before it is known who is to read it."""
        self._early += data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        tls = transport.get_extra_info("ssl_object")
        self._counts.add("opened")
        self._counts.add("handshakes", 1 if tls else 0)
        agreed = tls.selected_alpn_protocol() if tls else None
        kind = Http2Connection if agreed == "h2" else Http1Connection
        connection = kind(self._counts, self._changed)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        self.connection = connection
        if self._early:
            connection.data_received(self._early)
