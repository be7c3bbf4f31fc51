"""Answers Prometheus where no server of Stretto does: a worker's own small door, for /metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

from stretto.contexts.core.errors import StrettoError, Unavailable
from stretto.contexts.monitoring.prometheus import CONTENT_TYPE

PORTS: Final = 10
LONGEST_REQUEST_S: Final = 5.0

logger = logging.getLogger(__name__)


class Exporter:
    """Listens from the beginning, on the first free of ten ports; answers when it is started.

    Raises Unavailable when none is free. Port 0 is any.
    """

    def __init__(self, exposition: Callable[[], str], *, host: str, port: int) -> None:
        self._server = _listening(_handler(exposition), host, port)
        self._thread = Thread(target=self._server.serve_forever, args=(0.2,), name="exporter")
        self._thread.daemon = True
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("A request for metrics of %s was not answered.", client_address)


def _listening(handler: type[BaseHTTPRequestHandler], host: str, port: int) -> _Server:
    trouble: OSError | None = None
    for candidate in range(port, port + PORTS if port else 1):
        try:
            return _Server((host, candidate), handler)
        except OSError as error:
            trouble = error
    raise Unavailable(
        f"Metrics cannot be offered on {host}, ports {port} to {port + PORTS - 1}: {trouble}. "
        "Set metrics_port to another one, or to 0."
    ) from trouble


def _handler(exposition: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = LONGEST_REQUEST_S
        server_version, sys_version = "stretto", ""

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self._answer(404, "There is only /metrics here.\n")
                return
            try:
                self._answer(200, exposition())
            except StrettoError as trouble:
                self._answer(503, f"{trouble.message}\n")

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            kind = CONTENT_TYPE if status == 200 else "text/plain; charset=utf-8"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            logger.debug("metrics: " + format, *args)  # noqa: G003 - the caller's format

    return Handler
