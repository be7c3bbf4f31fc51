"""A connection over HTTP/1.1, for services that have no other: one request at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import h11

from stretto.contexts.external.adapters.counting import Counts
from stretto.contexts.external.model import (
    APIRequest,
    APIResponse,
    CallFailed,
    Phase,
    Timeouts,
    announced_bytes,
    too_long,
)

SENT_AT_ONCE_BYTES: Final = 2**16


class Http1Connection(asyncio.Protocol):
    """Satisfies APIConnection."""

    protocol = "HTTP/1.1"

    def __init__(self, counts: Counts, changed: Callable[[], None]) -> None:
        self._counts = counts
        self._changed = changed
        self._h11 = h11.Connection(h11.CLIENT)
        self._moved = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost: str | None = None
        self.in_use = 0
        self.idle_since = time.monotonic()
        self.ready, self.gone = asyncio.Event(), asyncio.Event()
        self.ready.set()

    @property
    def open(self) -> bool:
        return self._lost is None

    @property
    def room(self) -> int:
        return 1 - self.in_use if self.open else 0

    async def send(self, request: APIRequest, timeouts: Timeouts) -> APIResponse:
        if not self.open:
            raise CallFailed("The connection was closed.", phase=Phase.SENDING, unseen=True)
        self._counts.add("requests")
        self.in_use += 1
        whole = False
        upload = asyncio.create_task(self._upload(request, timeouts))
        # Who waits for the answer may have given up before it learns that the upload failed, too.
        upload.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            response = await self._response(upload, timeouts, request.longest_answer_bytes)
            # An answer before the end of the upload leaves the connection in the middle of it.
            whole = upload.done() and self._h11.our_state is h11.DONE
        except h11.ProtocolError as cause:
            raise CallFailed(
                f"The service does not keep to HTTP: {cause}", phase=Phase.RECEIVING
            ) from cause
        else:
            return response
        finally:
            upload.cancel()
            self.in_use -= 1
            self.idle_since = time.monotonic()
            self._rest(whole)

    def _rest(self, whole: bool) -> None:
        """Ready for the next request, or closed: a request cannot be called back otherwise."""
        if whole and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        else:
            self.close()
        self._changed()

    def close(self) -> None:
        self._fail("it was closed here")
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def keep_alive(self, quiet_s: float) -> None:
        """There is nothing to ask with: the timeouts of each request have to do."""

    async def _upload(self, request: APIRequest, timeouts: Timeouts) -> None:
        headers = [("host", request.endpoint.authority), *request.headers]
        if request.body:
            headers.append(("content-length", str(request.size_bytes)))
        await self._write(
            h11.Request(method=request.method, target=request.path, headers=headers), timeouts
        )
        for piece in request.body:
            for at in range(0, len(piece), SENT_AT_ONCE_BYTES):
                data = bytes(piece[at : at + SENT_AT_ONCE_BYTES])
                await self._write(h11.Data(data=data), timeouts)
                self._counts.add("sent_bytes", len(data))
        await self._write(h11.EndOfMessage(), timeouts)

    async def _write(self, event: Any, timeouts: Timeouts) -> None:
        await self._within(timeouts.stall_s, self._writable, Phase.SENDING)
        self._transport.write(self._h11.send(event) or b"")

    async def _response(
        self, upload: asyncio.Task[None], timeouts: Timeouts, longest_bytes: int
    ) -> APIResponse:
        head = await self._event(upload, timeouts)
        while isinstance(head, h11.InformationalResponse):
            head = await self._event(upload, timeouts)
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        body = bytearray()
        if announced_bytes(headers) > longest_bytes:
            raise too_long(longest_bytes)
        while not isinstance(event := await self._event(None, timeouts), h11.EndOfMessage):
            if isinstance(event, h11.ConnectionClosed):
                raise self._broken(Phase.RECEIVING)
            body += event.data
            if len(body) > longest_bytes:
                raise too_long(longest_bytes)
        return APIResponse(
            status=head.status_code,
            headers=headers,
            body=bytes(body),
            protocol=self.protocol,
        )

    async def _event(self, upload: asyncio.Task[None] | None, timeouts: Timeouts) -> Any:
        """The next event; ``upload`` None says that the answer has begun."""
        while True:
            event = self._h11.next_event()
            if event is h11.PAUSED:
                raise CallFailed("The service answers in another protocol.", phase=Phase.RECEIVING)
            if isinstance(event, h11.ConnectionClosed):
                raise self._broken(Phase.WAITING if upload else Phase.RECEIVING)
            if event is not h11.NEED_DATA:
                return event
            if self._lost is not None:
                raise self._broken(Phase.WAITING if upload else Phase.RECEIVING)
            self._moved.clear()
            if upload is None:
                await self._within(timeouts.stall_s, self._moved, Phase.RECEIVING)
            else:
                await self._uploaded_or_moved(upload, timeouts)

    async def _uploaded_or_moved(self, upload: asyncio.Task[None], timeouts: Timeouts) -> None:
        if not upload.done():
            moved = asyncio.create_task(self._moved.wait())
            try:
                await asyncio.wait({upload, moved}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                moved.cancel()
        if upload.done():
            upload.result()
            await self._within(timeouts.answer_s, self._moved, Phase.WAITING)

    async def _within(self, patience_s: float, event: asyncio.Event, phase: Phase) -> None:
        try:
            await asyncio.wait_for(event.wait(), patience_s)
        except TimeoutError:
            raise CallFailed(
                f"Nothing happened for {patience_s:.0f} s while {phase}.", phase=phase
            ) from None
        if self._lost is not None and event is self._writable:
            raise self._broken(phase)

    def _broken(self, phase: Phase) -> CallFailed:
        return CallFailed(f"The connection broke: {self._lost}", phase=phase)

    # What comes from the network.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._counts.add("received_bytes", len(data))
        if not self.in_use:  # it speaks without being asked: not to be trusted
            self.close()
            return
        self._h11.receive_data(data)
        self._moved.set()

    def eof_received(self) -> bool:
        if self._lost is None:
            self._h11.receive_data(b"")
        self._moved.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the service closed it" if exc is None else str(exc) or type(exc).__name__)
        self.gone.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _fail(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
            self._counts.add("closed")
        self._moved.set()
        self._writable.set()
        self._changed()
