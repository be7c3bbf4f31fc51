"""A wire between a client and a server on the loopback interface that can be cut and disturbed."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE_BYTES = 1 << 16


@dataclass
class Wire:
    """Lets everything through, unless one of these is set; they may be changed at any time.

    ``cut_after``: every connection ends once so many bytes went up. ``reset``: and does so with an
    RST. ``flip``: the first of these bytes seen on the way up become others of the same length.
    ``bytes_per_s``, ``latency_s``, ``slices`` (bytes at a time): as they say, on the way up.
    ``black_hole``: nothing goes up any more. ``down``: new connections end at once.
    ``slow_close_s``: an end of the server is passed on so much later. ``sent`` counts what went up.
    """

    port: int = 0
    cut_after: int | None = None
    reset: bool = False
    flip: bytes = b""
    bytes_per_s: float = 0.0
    latency_s: float = 0.0
    slices: int = 0
    black_hole: bool = False
    down: bool = False
    slow_close_s: float = 0.0
    flipped: int = 0
    cuts: int = 0
    sent: int = 0
    _closed: threading.Event = field(default_factory=threading.Event)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, listener: socket.socket, target: int) -> None:
        while not self._closed.is_set():
            with suppress(TimeoutError):
                client, _ = listener.accept()
                arguments = (client, target)
                threading.Thread(target=self._carry, args=arguments, daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _carry(self, client: socket.socket, target: int) -> None:
        try:
            if self.down:
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", target))
        except OSError:
            client.close()
            return
        threading.Thread(target=self._back, args=(server, client), daemon=True).start()
        with client, server:
            with suppress(OSError):
                self._up(client, server)
            with suppress(OSError):  # to close it alone does not wake who reads from it, nor tells
                server.shutdown(socket.SHUT_RDWR)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        count = 0
        while data := client.recv(self.slices or PIECE_BYTES):
            count += len(data)
            if self.down or (self.cut_after is not None and count > self.cut_after):
                self.cuts += 1
                if self.reset:
                    linger = struct.pack("ii", 1, 0)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return
            if self.black_hole:
                continue
            if self.latency_s or self.bytes_per_s:
                time.sleep(self.latency_s + len(data) / (self.bytes_per_s or 1e12))
            server.sendall(self._disturbed(data))
            self.sent += len(data)

    def _disturbed(self, data: bytes) -> bytes:
        if not self.flip or self.flip not in data:
            return data
        self.flipped += 1
        return data.replace(self.flip, bytes(byte ^ 1 for byte in self.flip), 1)

    def _back(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                sink.sendall(data)
        if self.slow_close_s:
            time.sleep(self.slow_close_s)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def wire_to(port: int) -> Generator[Wire, None, None]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        wire = Wire(port=listener.getsockname()[1])
        thread = threading.Thread(target=wire.serve, args=(listener, port), daemon=True)
        thread.start()
        try:
            yield wire
        finally:
            wire.close()
            thread.join(2)
