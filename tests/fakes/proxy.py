"""A proxy that opens tunnels (CONNECT), and remembers to where, and what passed through them."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress


class Proxy:
    """``answer`` is the line with which it refuses, empty for none; with ``password`` (as
    ``user:password``) it lets nobody else through."""

    def __init__(self, *, answer: bytes = b"", password: str = "") -> None:
        self.answer = answer
        self.password = password
        self.asked: list[str] = []
        self.passed = bytearray()
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            # A server of asyncio does not expect its tasks to be cancelled in the end.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        _, target, _ = head.split(" ", 2)
        self.asked.append(target)
        word = base64.b64encode(self.password.encode()).decode()
        if self.password and f"Basic {word}" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        elif self.answer:
            writer.write(self.answer)
        else:
            await self._tunnel(target, reader, writer)

    async def _tunnel(
        self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, _, port = target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self.writers.append(far_writer)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(
            self._relay(reader, far_writer, remember=True), self._relay(far_reader, writer)
        )

    async def _relay(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, remember: bool = False
    ) -> None:
        try:
            with suppress(OSError):
                while data := await source.read(2**16):
                    if remember:
                        self.passed += data
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.close()


@contextmanager
def a_proxy(*, answer: bytes = b"", password: str = "") -> Generator[Proxy, None, None]:
    proxy, loop = Proxy(answer=answer, password=password), asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(proxy.serve, "127.0.0.1", 0))
    proxy.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="fake proxy", daemon=True)
    thread.start()

    async def stop() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for writer in proxy.writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
