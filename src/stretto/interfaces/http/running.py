"""Runs the application until a signal says that it is enough."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

import uvicorn
from anyio import to_thread

from stretto.contexts.core.errors import InvalidOption
from stretto.interfaces.http.app import create_app
from stretto.interfaces.http.connection import Connection
from stretto.interfaces.http.server import Server

logger = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 5000
BACKLOG: Final = 1024
GRACE_S: Final = 5
"""So long what is being answered may take when the server is told to leave."""

THREADS: Final = 6
"""For routes that ask the database: more of them would only take the interpreter from each other
and from the thread that answers."""

SWITCH_S: Final = 0.0005
"""How long a thread may keep the interpreter from the one that answers; Python's own 5 ms are a
long time for a request that takes one."""


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises InvalidOption when that cannot be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Told that it is TCP, asyncio sends small answers at once (TCP_NODELAY).
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as cause:
        raise InvalidOption(
            f"The address {host} with the port {port} cannot be listened at: {cause.strerror}. "
            "Choose others with --host and --port."
        ) from cause
    return listening


def address_of(listening: socket.socket) -> str:
    """As people type it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(server: Server, listening: socket.socket) -> None:
    """Until SIGTERM or SIGINT: whatever is being answered may end within five seconds."""
    sys.setswitchinterval(SWITCH_S)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises them once more when it is done
    uvicorn_of(server, ready=lambda: _announce(listening)).run(sockets=[listening])


def uvicorn_of(server: Server, *, ready: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """A server for sockets that are bound already."""
    config = uvicorn.Config(
        create_app(server),
        http=Connection,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=GRACE_S,
    )
    return _Uvicorn(config, server, ready)


def _announce(listening: socket.socket) -> None:
    sys.stderr.write(f"Stretto listens at {address_of(listening)}\n")
    sys.stderr.flush()


class _Uvicorn(uvicorn.Server):
    """Lets those go who follow a job, instead of waiting for them."""

    def __init__(self, config: uvicorn.Config, server: Server, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ours = server
        self._ready = ready
        self._watching: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        await super().startup(sockets=sockets)
        self._watching = asyncio.create_task(asyncio.to_thread(self._watch))
        self._ready()

    def _watch(self) -> None:
        try:
            self._ours.serving.monitoring.start("serve")
        except Exception:  # the server serves all the same
            logger.exception("Nothing is measured.")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._ours.watch.close()
        self._ours.fetching.close()
        await super().shutdown(sockets=sockets)
