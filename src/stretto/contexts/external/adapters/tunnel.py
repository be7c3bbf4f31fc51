"""The way through a proxy: it is asked for a tunnel (CONNECT), and what is in the tunnel is TLS
that it cannot read."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import h11

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.external.model import APIEndpoint, CallFailed, Phase

LONGEST_HEAD_BYTES: Final = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Where a proxy listens, and who we are there (``user:password``, or empty)."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)

    @classmethod
    def at(cls, url: str) -> Proxy:
        """Raises InvalidOption. Example: ``http://proxy.example.org:3128``."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme != "http":
            raise InvalidOption(
                "The proxy has to be an address such as http://proxy.example.org:3128 (http://, "
                "also for services with https://); see STRETTO_REMOTE_PROXY."
            )
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(
            host=host, port=port or 80, credentials=f"{user}:{password}" if parts.username else ""
        )


class Tunnel(asyncio.Protocol):
    """Asks the proxy for a connection to ``endpoint``; ``opened`` is done when it is there."""

    def __init__(self, proxy: Proxy, endpoint: APIEndpoint) -> None:
        self._proxy = proxy
        self._endpoint = endpoint
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD_BYTES)
        self.opened: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        host = f"[{self._endpoint.host}]" if ":" in self._endpoint.host else self._endpoint.host
        target = f"{host}:{self._endpoint.port}"
        headers = [("host", target)]
        if self._proxy.credentials:
            word = base64.b64encode(self._proxy.credentials.encode()).decode()
            headers.append(("proxy-authorization", f"Basic {word}"))
        asked = self._h11.send(h11.Request(method="CONNECT", target=target, headers=headers))
        transport.write(asked or b"")

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            return
        try:
            self._h11.receive_data(data)
            answer = self._h11.next_event()
            while isinstance(answer, h11.InformationalResponse):
                answer = self._h11.next_event()
        except h11.ProtocolError:
            self._fail("it does not speak HTTP")
            return
        if answer is h11.NEED_DATA:
            return
        if not isinstance(answer, h11.Response):
            self._fail("it does not speak HTTP")
        elif answer.status_code == 407:
            self._fail("it wants a name and a password (407), or others", permanent=True)
        elif not 200 <= answer.status_code < 300:
            self._fail(f"it refuses a connection to {self._endpoint.host} ({answer.status_code})")
        else:
            # Nothing may follow yet: in TLS it is the client that begins.
            self._transport.pause_reading()
            self.opened.set_result(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(str(exc) if exc else "it closed the connection")

    def _fail(self, why: str, *, permanent: bool = False) -> None:
        if not self.opened.done():
            self.opened.set_exception(
                CallFailed(
                    f"The proxy {self._proxy.host}:{self._proxy.port} does not help: {why}.",
                    phase=Phase.CONNECTING,
                    unseen=True,
                    permanent=permanent,
                )
            )
            self._transport.abort()


async def tunnelled(proxy: Proxy, endpoint: APIEndpoint) -> asyncio.Transport:
    """A connection to ``endpoint`` in the clear, through the proxy. Raises CallFailed and OSError;
    nothing is left open when it is cancelled."""
    transport, tunnel = await asyncio.get_running_loop().create_connection(
        lambda: Tunnel(proxy, endpoint), proxy.host, proxy.port
    )
    try:
        return await tunnel.opened
    except BaseException:
        transport.abort()
        raise
