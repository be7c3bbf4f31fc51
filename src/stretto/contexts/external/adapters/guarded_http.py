"""Asks addresses that somebody else named: each connection goes to an address that was checked."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from stretto.contexts.core.errors import AddressRefused, CallbackFailed
from stretto.contexts.external.address_guard import Address, AddressGuard, Resolve, Target

TIMEOUT_S: Final = 15.0
"""For all of it: whoever answers a byte a second does not hold a thread for ever."""

ACCEPTED: Final = range(200, 300)


def resolved(host: str, port: int) -> Sequence[str]:
    """What the system says. Raises OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as cause:
        raise OSError(f"{host!r} is no name of a host") from cause
    return [str(place[0]) for *_, place in found]


class GuardedHttp:
    """Redirects are not followed: what was checked is what is asked. ``authority`` is a file with
    certificates to trust instead of the system's."""

    def __init__(
        self,
        guard: AddressGuard,
        *,
        resolve: Resolve = resolved,
        timeout_s: float = TIMEOUT_S,
        authority: str | None = None,
    ) -> None:
        self._guard = guard
        self._resolve = resolve
        self._timeout_s = timeout_s
        self._authority = authority

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Returns once the answer is 2xx. Raises AddressRefused, and CallbackFailed, neither of
        which shows the URL."""
        target = self._guard.target(url)
        try:
            addresses = self._guard.addresses(target, self._resolve)
            with self._connected(target, addresses) as connection:
                connection.request(
                    "POST", target.path, body=body, headers={"Host": target.authority, **headers}
                )
                status = connection.getresponse().status
        except AddressRefused:
            raise
        except (OSError, http.client.HTTPException, ValueError) as cause:
            raise CallbackFailed(f"It could not be called: {_why(cause)}") from cause
        if status not in ACCEPTED:
            moved = " Redirects are not followed." if 300 <= status < 400 else ""
            raise CallbackFailed(f"It answered {status}.{moved}")

    @contextmanager
    def _connected(
        self, target: Target, addresses: Sequence[Address]
    ) -> Generator[http.client.HTTPConnection, None, None]:
        plain = _first_that_answers(addresses, target.port, self._timeout_s)
        watchdog = threading.Timer(self._timeout_s, _shut, (plain,))
        watchdog.daemon = True
        watchdog.start()
        try:
            connection = http.client.HTTPConnection(target.host, timeout=self._timeout_s)
            connection.sock = self._secured(plain, target) if target.scheme == "https" else plain
            try:
                yield connection
            finally:
                connection.close()
        finally:
            watchdog.cancel()
            plain.close()

    def _secured(self, plain: socket.socket, target: Target) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self._authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context.wrap_socket(plain, server_hostname=target.host)


def _first_that_answers(addresses: Sequence[Address], port: int, timeout_s: float) -> socket.socket:
    """Raises OSError, that of the last one."""
    trouble: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((str(address), port), timeout_s / len(addresses))
        except OSError as cause:
            trouble = cause
    raise trouble or OSError("there is no address")


def _shut(plain: socket.socket) -> None:
    try:
        plain.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is closed
        return


def _why(cause: Exception) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    if isinstance(cause, OSError):
        return cause.strerror or type(cause).__name__
    return type(cause).__name__
