"""Connections to addresses that somebody else named: each goes to an address that was checked, and
none outlives its time."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, Self

from stretto.contexts.external.address_guard import Address, AddressGuard, Resolve, Target

CONNECT_S: Final = 15.0
"""For all addresses of a name together."""

SILENCE_S: Final = 15.0
"""So long the other side may say nothing."""


def resolved(host: str, port: int) -> Sequence[str]:
    """What the system says. Raises OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as cause:
        raise OSError(f"{host!r} is no name of a host") from cause
    return [str(place[0]) for *_, place in found]


class Watchdog:
    """Shuts the connection that is open when the time is up, or as soon as somebody lets it
    ``bite``: whoever answers a byte a second does not hold a thread for ever."""

    def __init__(self, within_s: float) -> None:
        self._timer = threading.Timer(within_s, self.bite)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None
        self.has_bitten = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def bite(self) -> None:
        with self._lock:
            self.has_bitten = True
            if self._watched is not None:
                with suppress(OSError):  # the other side was quicker
                    self._watched.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def watching(self, plain: socket.socket) -> Generator[None, None, None]:
        """Over one connection. Raises TimeoutError when it is too late for any."""
        with plain.dup() as watched:  # what becomes encrypted gives its own descriptor away
            with self._lock:
                if self.has_bitten:
                    raise TimeoutError("the time is up")
                self._watched = watched
            try:
                yield
            finally:
                with self._lock:
                    self._watched = None


class GuardedConnections:
    """``authority`` is a file with certificates to trust instead of the system's."""

    def __init__(
        self, guard: AddressGuard, *, resolve: Resolve = resolved, authority: str | None = None
    ) -> None:
        self._guard = guard
        self._resolve = resolve
        self._authority = authority

    def target(self, url: str) -> Target:
        """Raises AddressRefused."""
        return self._guard.target(url)

    @contextmanager
    def opened(
        self, target: Target, watchdog: Watchdog
    ) -> Generator[http.client.HTTPConnection, None, None]:
        """Raises AddressRefused when one of its addresses is not allowed, and OSError."""
        addresses = self._guard.addresses(target, self._resolve)
        plain = _first_that_answers(addresses, target.port)
        with plain, watchdog.watching(plain):
            plain.settimeout(SILENCE_S)
            connection = http.client.HTTPConnection(target.host, timeout=SILENCE_S)
            connection.sock = self._secured(plain, target) if target.scheme == "https" else plain
            try:
                yield connection
            finally:
                connection.close()

    def _secured(self, plain: socket.socket, target: Target) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self._authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context.wrap_socket(plain, server_hostname=target.host)


def why(cause: Exception) -> str:
    """What went wrong with a connection, without what was asked."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    if isinstance(cause, socket.gaierror):
        return "there is no host of that name"
    if isinstance(cause, TimeoutError):
        return "it gave no answer in time"
    if isinstance(cause, OSError):
        return cause.strerror or type(cause).__name__
    return f"it does not speak HTTP ({type(cause).__name__})"


def _first_that_answers(addresses: Sequence[Address], port: int) -> socket.socket:
    """Raises OSError, that of the last one."""
    trouble: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((str(address), port), CONNECT_S / len(addresses))
        except OSError as cause:
            trouble = cause
    raise trouble or OSError("there is no address")
