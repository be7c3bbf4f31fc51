"""One connection of the fake speech service over HTTP/1.1."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import h11

from tests.fakes.backend_script import Fault

if TYPE_CHECKING:
    from tests.fakes.backend import Backend


class Http1Server(asyncio.Protocol):
    def __init__(self, backend: Backend, number: int) -> None:
        self._backend = backend
        self._number = number
        self._h11 = h11.Connection(h11.SERVER)
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._at = 0.0
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._backend.open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._backend.open.discard(self._transport)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._h11.receive_data(data)
        self._read()

    def _read(self) -> None:
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                self._at = time.monotonic()
                self._headers = {k.decode(): v.decode() for k, v in event.headers}
                self._body.clear()
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._task = asyncio.get_running_loop().create_task(self._work())
            else:
                return

    async def _work(self) -> None:
        call, reply = self._backend.arrived(self._headers, bytes(self._body))
        in_flight = self._backend.enter()
        try:
            await asyncio.sleep(max(0.0, self._at + reply.takes_s - time.monotonic()))
            self._backend.record(
                call, reply, stream=0, connection=self._number, at=self._at, in_flight=in_flight
            )
        finally:
            self._backend.leave()
        if reply.fault is Fault.NEVER_ANSWERS:
            await asyncio.Event().wait()
        body = reply.body or b""
        if reply.fault in {Fault.CLOSED, Fault.RESET, Fault.REFUSED}:
            self._transport.abort()
            return
        headers = [*reply.headers, ("content-length", str(len(body)))]
        self._write(h11.Response(status_code=reply.status, headers=headers))
        if reply.fault is Fault.RESET_IN_BODY:
            self._write(h11.Data(data=body[: len(body) // 2]))
            self._transport.close()
            return
        self._write(h11.Data(data=body))
        self._write(h11.EndOfMessage())
        self._h11.start_next_cycle()
        self._read()

    def _write(self, event: Any) -> None:
        self._transport.write(self._h11.send(event) or b"")
