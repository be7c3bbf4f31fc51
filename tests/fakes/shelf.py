"""A server on this machine from which recordings are fetched, as badly behaved as a test wants."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SOUND = os.urandom(300_000)
Behaviour = Callable[["Handler"], None]


class Shelf(ThreadingHTTPServer):
    """Answers each path as the test says. ``begun`` and ``left`` are about what drips: somebody
    listens, and nobody does any more."""

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.asked: list[tuple[str, str]] = []
        self.behaviours: dict[str, Behaviour] = {}
        self.begun, self.left = threading.Event(), threading.Event()

    def url(self, path: str, *, host: str = "shelf.example") -> str:
        return f"http://{host}:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        self.server.asked.append((self.headers["Host"].partition(":")[0], self.path))
        try:
            self.server.behaviours[self.path.partition("?")[0]](self)
        except OSError:
            self.server.left.set()
        self.close_connection = True

    def begin(self, status: int = 200, /, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def whole(handler: Handler, **headers: str) -> None:
    handler.begin(Content_Length=str(len(SOUND)), **headers)
    handler.wfile.write(SOUND)


def sending_on(place: str, status: int = 302) -> Behaviour:
    return lambda handler: handler.begin(status, Location=place)


def endless(handler: Handler) -> None:
    handler.begin()
    while True:
        handler.wfile.write(bytes(65_536))


def dripping(handler: Handler) -> None:
    handler.begin(Content_Length="100000")
    handler.server.begun.set()
    while not handler.server.left.wait(0.02):
        handler.wfile.write(b"-")


def in_chunks(handler: Handler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.begin(Transfer_Encoding="chunked")
    for start in range(0, len(SOUND), 70_000):
        piece = SOUND[start : start + 70_000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def breaking_off(handler: Handler) -> None:
    handler.begin(Content_Length=str(len(SOUND)))
    handler.wfile.write(SOUND[:1000])


@contextmanager
def shelf_open(host: str = "127.0.0.1") -> Generator[Shelf, None, None]:
    server = Shelf(host)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.left.set()
        server.shutdown()
        server.server_close()
        thread.join()


def at_home(host: str, port: int) -> list[str]:
    """Every name leads to this machine."""
    return ["127.0.0.1"]
