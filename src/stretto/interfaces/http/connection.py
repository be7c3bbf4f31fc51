"""The connections of the server: uvicorn's, with two deadlines that it does not have."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from stretto.interfaces.http.streaming import ABORT, NARROW

AT_ONCE: Final = struct.pack("ii", 1, 0)
NARROW_BYTES: Final = 32 << 10
UNSENT_BYTES: Final = 4 << 10
"""So much waits here, beside what the system has: a thousand who do not read are to cost little."""

FIRST_REQUEST_S: Final = 30.0
"""So long the head of a first request may take."""


class Connection(H11Protocol):
    """Cuts off who sends no request, and lets a response cut off who does not read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(FIRST_REQUEST_S, self._cut)

    def handle_events(self) -> None:
        super().handle_events()
        if self.scope is not None:
            self._deadline.cancel()
            extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
            extensions[ABORT] = self._cut
            extensions[NARROW] = self._narrow

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def _narrow(self) -> None:
        """What is sent and not read is to be little, here and in the system."""
        self.transport.set_write_buffer_limits(high=UNSENT_BYTES)
        connected = self.transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW_BYTES)

    def _cut(self) -> None:
        """At once: the system too forgets what was not read, and tells the other side."""
        connected = self.transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.transport.abort()
