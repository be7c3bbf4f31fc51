"""A wire between a client and a server on the loopback interface that can be cut and disturbed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Wire:
    """Cuts every connection once ``cut_after`` bytes went up; turns the first ``flip`` that is
    seen on the way up into other bytes of the same length. ``sent`` counts what went up, at
    ``bytes_per_s`` a connection if that is set."""

    port: int = 0
    cut_after: int | None = None
    flip: bytes = b""
    flipped: int = 0
    cuts: int = 0
    bytes_per_s: float = 0.0
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
            server = socket.create_connection(("127.0.0.1", target))
        except OSError:
            client.close()
            return
        threading.Thread(target=_pump, args=(server, client), daemon=True).start()
        sent = 0
        with client, server, suppress(OSError):
            while data := client.recv(1 << 16):
                sent += len(data)
                if self.cut_after is not None and sent > self.cut_after:
                    self.cuts += 1
                    return
                server.sendall(self._disturbed(data))
                self.sent += len(data)
                if self.bytes_per_s:
                    time.sleep(len(data) / self.bytes_per_s)

    def _disturbed(self, data: bytes) -> bytes:
        if not self.flip or self.flip not in data:
            return data
        self.flipped += 1
        return data.replace(self.flip, bytes(byte ^ 1 for byte in self.flip), 1)


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


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
