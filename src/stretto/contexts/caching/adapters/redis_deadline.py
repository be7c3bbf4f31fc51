"""One limit for all of a call to Redis. Its client has one for each time that it reads, and what
comes in drops is read many times."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import Any, Final

_AS_GOOD_AS_ALL: Final = 0.8
"""While so much of the time is left a read may take all of it: most calls are over by then, and
changing the limit of a socket would cost them a tenth of their time."""

_A_LOOK_S: Final = 0.001
"""What has come in time is read, however late its reader is on a busy machine."""


def bounded(client: Any) -> Any:
    """The client, whose calls take hardly longer altogether than it gives each read. Opening a
    connection is no part of a call: its steps have that limit each."""
    pool = client.connection_pool
    pool.connection_class = type("Bounded", (_Bounded, pool.connection_class), {})
    return client


class _Bounded:
    """A connection of the client; each call asks its pool for one, which connects it if need be."""

    _sock: _Socket | None

    def connect(self) -> None:
        if self._sock is None:
            super().connect()  # type: ignore[misc]
        if self._sock is not None:
            self._sock.begin()

    def _connect(self) -> _Socket:
        return _Socket(super()._connect())  # type: ignore[misc]


class _Socket:
    """A socket, encrypted or not, that waits for nothing after the end."""

    __slots__ = ("_ends_at", "_hurries", "_limit_s", "_socket", "fileno", "pending")

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.fileno = socket.fileno  # before each call it is asked for both
        self.pending = getattr(socket, "pending", _nothing)
        self._limit_s: float | None = socket.gettimeout()
        self._ends_at = inf
        self._hurries = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def begin(self) -> None:
        """A call begins."""
        if self._limit_s is not None:
            self._ends_at = monotonic() + self._limit_s
        if self._hurries:
            self.settimeout(self._limit_s)

    def settimeout(self, limit_s: float | None) -> None:
        self._limit_s, self._hurries = limit_s, False
        self._socket.settimeout(limit_s)

    def sendall(self, data: Any) -> None:
        self._hurry()
        self._socket.sendall(data)

    def recv(self, *arguments: Any) -> Any:
        self._hurry()
        return self._socket.recv(*arguments)

    def recv_into(self, buffer: Any) -> Any:
        self._hurry()
        return self._socket.recv_into(buffer)

    def _hurry(self) -> None:
        if not self._limit_s:  # nobody waits, or whoever does wants to
            return
        left_s = self._ends_at - monotonic()
        if left_s < _AS_GOOD_AS_ALL * self._limit_s:
            self._socket.settimeout(max(left_s, _A_LOOK_S))
            self._hurries = True


def _nothing() -> int:
    """Decrypted already, where nothing is encrypted."""
    return 0
