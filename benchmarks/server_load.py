"""A plain client for the load of `benchmarks.server`: HTTP/1.1 over asyncio, kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

LONGEST_HEAD: Final = 1 << 16


@dataclass(slots=True)
class Times:
    """What requests took, in seconds, and how many were not answered with 200."""

    taken: list[float] = field(default_factory=list)
    errors: int = 0

    def percentile_ms(self, percent: float) -> float:
        ordered = sorted(self.taken)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Connection:
    """One connection, one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, url: str) -> Connection:
        place = urlsplit(url)
        return cls(*await asyncio.open_connection(place.hostname, place.port, limit=LONGEST_HEAD))

    async def get(self, path: str) -> tuple[int, bytes]:
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        length = next(
            int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length")
        )
        return int(lines[0].split()[1]), await self.reader.readexactly(length)

    def close(self) -> None:
        self.writer.close()


async def user(
    url: str, paths: Sequence[str], until: float, times: Times, *, pause_s: float
) -> None:
    """Asks for ``paths`` in turn until the clock says ``until``."""
    connection = await Connection.to(url)
    turn = 0
    with contextlib.closing(connection):
        while time.monotonic() < until:
            begun = time.monotonic()
            try:
                status, _ = await connection.get(paths[turn % len(paths)])
                times.errors += status != 200
            except (OSError, asyncio.IncompleteReadError):
                times.errors += 1
                connection = await Connection.to(url)
            times.taken.append(time.monotonic() - begun)
            turn += 1
            if pause_s:
                await asyncio.sleep(pause_s)


async def users(
    url: str, paths: Sequence[str], *, count: int, seconds: float, pause_s: float
) -> Times:
    """``count`` users at once."""
    times, until = Times(), time.monotonic() + seconds
    await asyncio.gather(*(user(url, paths, until, times, pause_s=pause_s) for _ in range(count)))
    return times


@dataclass(slots=True)
class Listener:
    """Follows a job: the numbers of the events it saw; whether it was cut off, and after how
    long."""

    numbers: list[int] = field(default_factory=list)
    cut_after_s: float | None = None


async def listen(url: str, job_id: str, listener: Listener) -> None:
    """Reads everything as it comes, until the end."""
    connection = await Connection.to(url)
    with contextlib.closing(connection):
        head = f"GET /api/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.writer.write(head.encode())
        await connection.reader.readuntil(b"\r\n\r\n")
        while line := await connection.reader.readline():
            if line.startswith(b"id: "):
                listener.numbers.append(int(line[4:]))


async def stall(
    url: str, job_id: str, listener: Listener, *, begun: asyncio.Event, patience_s: float
) -> None:
    """Asks, and never reads. How long it takes until it is cut off counts from the moment in which
    there was something to read."""
    place = urlsplit(url)
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await loop.sock_connect(sock, (place.hostname, place.port))
    head = f"GET /api/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    await loop.sock_sendall(sock, head.encode())
    with contextlib.closing(sock):
        await begun.wait()
        since = time.monotonic()
        while time.monotonic() - since < patience_s:
            await asyncio.sleep(0.25)
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                listener.cut_after_s = time.monotonic() - since
                return
