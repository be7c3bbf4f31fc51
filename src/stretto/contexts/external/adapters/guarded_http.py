"""Tells addresses that somebody else named."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Final

from stretto.contexts.core.errors import AddressRefused, CallbackFailed
from stretto.contexts.external.adapters.guarded_connection import (
    GuardedConnections,
    Watchdog,
    why,
)

TIMEOUT_S: Final = 15.0
"""For all of it."""

ACCEPTED: Final = range(200, 300)


class GuardedHttp:
    """Redirects are not followed: what was checked is what is asked."""

    def __init__(self, connections: GuardedConnections, *, timeout_s: float = TIMEOUT_S) -> None:
        self._connections = connections
        self._timeout_s = timeout_s

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Returns once the answer is 2xx. Raises AddressRefused, and CallbackFailed, neither of
        which shows the URL."""
        target = self._connections.target(url)
        try:
            with (
                Watchdog(self._timeout_s) as watchdog,
                self._connections.opened(target, watchdog) as connection,
            ):
                sent = {"Host": target.authority, **headers}
                connection.request("POST", target.path, body=body, headers=sent)
                status = connection.getresponse().status
        except AddressRefused:
            raise
        except (OSError, http.client.HTTPException, ValueError) as cause:
            raise CallbackFailed(f"It could not be called: {why(cause)}.") from cause
        if status not in ACCEPTED:
            moved = " Redirects are not followed." if 300 <= status < 400 else ""
            raise CallbackFailed(f"It answered {status}.{moved}")
