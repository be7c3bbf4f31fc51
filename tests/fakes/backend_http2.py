"""One connection of the fake speech service over HTTP/2, in all the ways it can go wrong."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from tests.fakes.backend_script import INTERNAL_ERROR, REFUSED_STREAM, Call, Fault, Reply

if TYPE_CHECKING:
    from tests.fakes.backend import Backend

Codes = h2.settings.SettingCodes
LONGEST_FRAME = 2**16


class _Upload:
    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.body = bytearray()
        self.at = time.monotonic()


class Http2Server(asyncio.Protocol):
    def __init__(self, backend: Backend, number: int) -> None:
        self._backend = backend
        self._number = number
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._uploads: dict[int, _Upload] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._moved = asyncio.Event()
        self._streams = 0
        self._last_taken: int | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._backend.open.add(transport)
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                Codes.MAX_CONCURRENT_STREAMS: self._backend.most_streams,
                Codes.INITIAL_WINDOW_SIZE: self._backend.window,
                Codes.MAX_FRAME_SIZE: LONGEST_FRAME,
            },
        )
        self._h2.max_inbound_frame_size = LONGEST_FRAME
        self._h2.initiate_connection()
        if self._backend.window > 65535:
            self._h2.increment_flow_control_window(self._backend.window)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._backend.open.discard(self._transport)
        for task in self._tasks.values():
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self._backend.complaints.append(repr(error))
            self._flush()
            self._transport.close()
            return
        for event in events:
            self._handle(event)
        self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {str(name): str(value) for name, value in event.headers}
            self._uploads[event.stream_id] = _Upload(headers)
        elif isinstance(event, h2.events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if upload := self._uploads.get(event.stream_id):
                upload.body += event.data
        elif isinstance(event, h2.events.StreamEnded):
            if upload := self._uploads.pop(event.stream_id, None):
                self._begin(event.stream_id, upload)
        elif isinstance(event, h2.events.StreamReset):
            self._uploads.pop(event.stream_id, None)
            if task := self._tasks.pop(event.stream_id, None):
                task.cancel()
        elif isinstance(event, h2.events.WindowUpdated):
            self._moved.set()

    def _begin(self, stream: int, upload: _Upload) -> None:
        if self._last_taken is not None:  # it came after the GOAWAY
            return
        self._streams += 1
        call, reply = self._backend.arrived(upload.headers, bytes(upload.body))
        every = self._backend.goaway_every
        if every and self._streams % every == 0:  # what came before it, is still answered
            self._go_away(stream - 2)
            return
        task = asyncio.get_running_loop().create_task(self._work(stream, upload, call, reply))
        self._tasks[stream] = task

    async def _work(self, stream: int, upload: _Upload, call: Call, reply: Reply) -> None:
        in_flight = self._backend.enter()
        try:
            await asyncio.sleep(max(0.0, upload.at + reply.takes_s - time.monotonic()))
            self._backend.record(
                call,
                reply,
                stream=stream,
                connection=self._number,
                at=upload.at,
                in_flight=in_flight,
            )
        finally:
            self._backend.leave()
        await self._end(stream, reply)

    async def _end(self, stream: int, reply: Reply) -> None:
        fault = reply.fault
        if fault is Fault.SILENT:
            self._transport.pause_reading()
        if fault in {Fault.NEVER_ANSWERS, Fault.SILENT}:
            await asyncio.Event().wait()
        elif fault is Fault.CLOSED:
            self._transport.abort()
        elif fault is Fault.GOAWAY_BELOW:
            self._go_away(stream - 2)
        elif fault in {Fault.RESET, Fault.REFUSED}:
            code = REFUSED_STREAM if fault is Fault.REFUSED else INTERNAL_ERROR
            self._h2.reset_stream(stream, code)
            self._flush()
        else:
            if fault in {Fault.GOAWAY_ABOVE, Fault.GOAWAY_AND_CLOSED}:
                self._go_away(stream)
            if fault is Fault.GOAWAY_AND_CLOSED:
                self._transport.close()
                return
            await self._answer(stream, reply)

    def _go_away(self, last: int) -> None:
        """Announced as a server does it that is about to restart: what it took, it finishes. The
        frame is written by hand, because h2 takes the connection for closed once it has sent it."""
        self._last_taken = max(last, 0)
        payload = self._last_taken.to_bytes(4, "big") + (0).to_bytes(4, "big")
        self._flush()
        self._transport.write(len(payload).to_bytes(3, "big") + b"\x07\x00" + bytes(4) + payload)

    async def _answer(self, stream: int, reply: Reply) -> None:
        body = reply.body or b""
        self._h2.send_headers(stream, [(":status", str(reply.status)), *reply.headers])
        size = max(1, -(-len(body) // reply.pieces))
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        for number, piece in enumerate(pieces):
            if number and reply.fault is Fault.RESET_IN_BODY:
                self._h2.reset_stream(stream, INTERNAL_ERROR)
                self._flush()
                return
            await self._send(stream, piece)
            await asyncio.sleep(reply.drip_s)
        self._h2.end_stream(stream)
        self._flush()

    async def _send(self, stream: int, whole: bytes) -> None:
        data = memoryview(whole)
        while data:
            room = self._h2.local_flow_control_window(stream)
            room = min(room, self._h2.max_outbound_frame_size)
            if room <= 0:
                self._moved.clear()
                self._flush()
                await self._moved.wait()
                continue
            self._h2.send_data(stream, bytes(data[:room]))
            data = data[room:]
        self._flush()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._transport.write(data)
