"""The connections of the server: uvicorn's, with the deadlines that it does not have."""

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

REQUEST_S: Final = 30.0
"""So long the head of a request may take, from the connection or the answer before it on."""

UNREAD_S: Final = 60.0
"""So long nothing of an answer may be read."""


class Connection(H11Protocol):
    """Cuts off who sends no request and who does not read, and lets a response do the latter."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._request_due = self.loop.call_later(REQUEST_S, self._cut)
        self._reading_due: asyncio.TimerHandle | None = None

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._request_due.cancel()
            extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
            extensions[ABORT] = self._cut
            extensions[NARROW] = self._narrow

    def on_response_complete(self) -> None:
        # Before uvicorn's, which begins with a request that came already.
        self._request_due.cancel()
        self._request_due = self.loop.call_later(REQUEST_S, self._cut)
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading_due = self.loop.call_later(UNREAD_S, self._cut)

    def resume_writing(self) -> None:
        self._reads()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._request_due.cancel()
        self._reads()
        super().connection_lost(exc)

    def _reads(self) -> None:
        if self._reading_due is not None:
            self._reading_due.cancel()
            self._reading_due = None

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
