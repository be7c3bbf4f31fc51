"""The connections to one service: as few as serve the requests, opened once, closed when idle."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Final

from stretto.contexts.external.adapters.connection import APIConnection, opened
from stretto.contexts.external.adapters.counting import Counts
from stretto.contexts.external.adapters.tunnel import Proxy
from stretto.contexts.external.model import (
    APIEndpoint,
    APIRequest,
    APIResponse,
    Timeouts,
)

MOST_CONNECTIONS: Final = 10
KEEP_ALIVE_S: Final = 30.0
QUIET_S: Final = 15.0
"""A network that forgets a silent connection does not say so; a ping finds it out."""

SECONDS_FOR_GOODBYE: Final = 0.5


class ConnectionPool:
    """Used by the thread of the connections alone.

    A connection is opened only when none of the others has room, and by one request at a time: the
    first one of a burst opens it, and with HTTP/2 the others find room in it.
    """

    def __init__(
        self,
        endpoint: APIEndpoint,
        *,
        tls: ssl.SSLContext,
        counts: Counts,
        most: int = MOST_CONNECTIONS,
        keep_alive_s: float = KEEP_ALIVE_S,
        quiet_s: float = QUIET_S,
        proxy: Proxy | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._counts = counts
        self._most = most
        self._keep_alive_s = keep_alive_s
        self._quiet_s = quiet_s
        self._proxy = proxy
        self._connections: list[APIConnection] = []
        self._opening = asyncio.Lock()
        self._changed = asyncio.Event()

    async def send(self, request: APIRequest, timeouts: Timeouts) -> APIResponse:
        """Raises CallFailed."""
        connection = await self._connection(timeouts)
        return await connection.send(request, timeouts)

    async def warm_up(self, timeouts: Timeouts) -> None:
        """Open the first connection before it is needed. Raises CallFailed."""
        await self._connection(timeouts)

    def look_after_connections(self) -> None:
        """Idle ones are closed, silent ones asked, those closed for good forgotten."""
        now = time.monotonic()
        for connection in self._connections:
            connection.keep_alive(self._quiet_s)
            if not connection.in_use and now - connection.idle_since > self._keep_alive_s:
                connection.close()
        self._connections = [c for c in self._connections if not c.gone.is_set()]

    async def close(self) -> None:
        for connection in self._connections:
            connection.close()
        for connection in self._connections:
            try:
                await asyncio.wait_for(connection.gone.wait(), SECONDS_FOR_GOODBYE)
            except TimeoutError:
                connection.abort()
                await connection.gone.wait()
        self._connections.clear()

    async def _connection(self, timeouts: Timeouts) -> APIConnection:
        while True:
            if (found := self._with_room()) is not None:
                return found
            async with self._opening:
                if (found := self._with_room()) is not None:
                    return found
                if sum(c.open for c in self._connections) < self._most:
                    connection = await opened(
                        self._endpoint,
                        tls=self._tls,
                        timeout_s=timeouts.connect_s,
                        counts=self._counts,
                        changed=self._changed.set,
                        proxy=self._proxy,
                    )
                    self._connections.append(connection)
                    return connection
                self._changed.clear()
            await self._changed.wait()

    def _with_room(self) -> APIConnection | None:
        self.look_after_connections()
        return next((c for c in self._connections if c.room > 0), None)
