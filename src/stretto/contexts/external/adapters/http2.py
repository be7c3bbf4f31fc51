"""A connection over HTTP/2: many requests at once, each of which can fail, stall or be called back
without the others noticing.

The states of the protocol are h2's; what is here is its input and output. The three things that
ready-made clients do not do are why it is (decision 0011): a stream that a GOAWAY spared is
waited for, a request that is given up is reset, and a stream that times out takes no other along.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from stretto.contexts.external.adapters.counting import Counts
from stretto.contexts.external.adapters.http2_stream import Frames, Stream, last_stream_of
from stretto.contexts.external.model import (
    APIRequest,
    APIResponse,
    CallFailed,
    Phase,
    Piece,
    Timeouts,
)

STREAMS_BEFORE_SETTINGS: Final = 100
PING: Final = b"stretto!"

_CONFIG: Final = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
_CODES: Final = h2.settings.SettingCodes
_STREAM_HEADERS: Final = frozenset({"connection", "host", "transfer-encoding", "keep-alive"})


class Http2Connection(asyncio.Protocol):
    """Satisfies APIConnection."""

    protocol = "HTTP/2"

    def __init__(self, counts: Counts, changed: Callable[[], None]) -> None:
        self._counts = counts
        self._changed = changed
        self._h2 = h2.connection.H2Connection(_CONFIG)
        self._streams: dict[int, Stream] = {}
        self._frames = Frames()
        self._moved = asyncio.Event()
        self._paused = False
        self._lost: str | None = None
        self._going_away = False
        self._most_streams = STREAMS_BEFORE_SETTINGS
        self.in_use = 0
        self.idle_since = time.monotonic()
        self.ready, self.gone = asyncio.Event(), asyncio.Event()
        self._heard_at, self._pinged_at = time.monotonic(), 0.0

    @property
    def open(self) -> bool:
        return self._lost is None and not self._going_away

    @property
    def room(self) -> int:
        return self._most_streams - self.in_use if self.open else 0

    async def send(self, request: APIRequest, timeouts: Timeouts) -> APIResponse:
        if not self.open:
            raise CallFailed("The connection was closed.", phase=Phase.SENDING, unseen=True)
        number, stream = self._begin(request)
        self._counts.add("requests")
        self.in_use += 1
        upload = asyncio.create_task(self._upload(number, stream, request.body))
        try:
            return await stream.answer(timeouts)
        finally:
            upload.cancel()
            self.in_use -= 1
            self.idle_since = time.monotonic()
            self._forget(number)
            self._changed()

    def close(self) -> None:
        if self._lost is None:
            self._h2.close_connection()
            self._flush()
            self._fail("it was closed here")
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def keep_alive(self, quiet_s: float) -> None:
        now = time.monotonic()
        if self._lost is not None or not self.in_use or now - self._heard_at < quiet_s:
            return
        if self._pinged_at <= self._heard_at:
            self._h2.ping(PING)
            self._flush()
            self._pinged_at = now
        elif now - self._pinged_at >= quiet_s:
            self._fail(f"the service has not answered a ping for {quiet_s:.0f} s")
            self.abort()

    def _begin(self, request: APIRequest) -> tuple[int, Stream]:
        """Sends the head of a request; its stream is known from then on."""
        headers = [
            (":method", request.method),
            (":scheme", "https"),
            (":authority", request.endpoint.authority),
            (":path", request.path),
            *((k.lower(), v) for k, v in request.headers if k.lower() not in _STREAM_HEADERS),
        ]
        if request.body:
            headers.append(("content-length", str(request.size_bytes)))
        try:
            number = self._h2.get_next_available_stream_id()
            self._h2.send_headers(number, headers, end_stream=not request.body)
        except h2.exceptions.ProtocolError as cause:  # it is full, or used up
            self._going_away = isinstance(cause, h2.exceptions.NoAvailableStreamIDError)
            raise CallFailed(
                "The connection takes no more requests.", phase=Phase.SENDING, unseen=True
            ) from cause
        stream = Stream(asyncio.get_running_loop().create_future(), request.longest_answer_bytes)
        self._streams[number] = stream
        self._flush()
        return number, stream

    async def _upload(self, number: int, stream: Stream, body: tuple[Piece, ...]) -> None:
        try:
            for piece in body:
                at = 0
                while at < len(piece):
                    at += await self._send_some(number, stream, piece, at)
            if body:
                self._h2.end_stream(number)
                self._flush()
        except h2.exceptions.ProtocolError as error:  # the stream, or the connection, was closed
            stream.give_up(f"The connection broke: {self._lost or error}")
        except OSError as error:
            stream.give_up(f"The recording cannot be read any more: {error.strerror or error}")
        else:
            stream.moved(Phase.WAITING)

    async def _send_some(self, number: int, stream: Stream, piece: Piece, at: int) -> int:
        """As much as the service has room for, a frame at most; waits for room."""
        while self._paused or (room := self._h2.local_flow_control_window(number)) <= 0:
            self._moved.clear()
            await self._moved.wait()
        most = min(room, self._h2.max_outbound_frame_size)
        data = bytes(piece[at : at + most])
        self._h2.send_data(number, data)
        self._flush()
        self._counts.add("sent_bytes", len(data))
        stream.moved()
        await asyncio.sleep(0)  # the other streams want to send, too
        return len(data)

    def _forget(self, number: int) -> None:
        """A request that did not come to its end is called back: the service may stop."""
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        stream.abandon()
        if self._lost is not None:
            return
        try:
            self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        except h2.exceptions.ProtocolError:
            return  # it was over already
        self._flush()

    # What comes from the network.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                _CODES.ENABLE_PUSH: 0,
                _CODES.INITIAL_WINDOW_SIZE: 2**20,
                _CODES.MAX_HEADER_LIST_SIZE: 2**16,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(2**24)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._counts.add("received_bytes", len(data))
        self._heard_at = time.monotonic()
        self._frames.add(data)
        try:
            while frame := self._frames.next(self._h2.max_inbound_frame_size):
                if (last := last_stream_of(frame)) is not None:
                    self._goaway(last)
                    continue
                for event in self._h2.receive_data(frame):
                    self._heard(event)
        except (h2.exceptions.ProtocolError, ValueError) as error:  # or headers that are no text
            self._fail(f"the service does not keep to HTTP/2 ({type(error).__name__})")
            self._flush()
            self._transport.close()
            return
        self._flush()

    def _heard(self, event: h2.events.Event) -> None:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def _settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        told = self._h2.remote_settings.max_concurrent_streams
        self._most_streams = max(0, min(int(told), STREAMS_BEFORE_SETTINGS))
        self.ready.set()
        self._moved.set()
        self._changed()

    def _window(self, event: h2.events.WindowUpdated) -> None:
        self._moved.set()

    def _head(self, event: h2.events.ResponseReceived) -> None:
        if stream := self._streams.get(event.stream_id):
            stream.begun({str(name): str(value) for name, value in event.headers or ()})

    def _data(self, event: h2.events.DataReceived) -> None:
        # Room is given back for what nobody waits for any more, too.
        if event.flow_controlled_length:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if stream := self._streams.get(event.stream_id):
            stream.received(event.data or b"")

    def _ended(self, event: h2.events.StreamEnded) -> None:
        if stream := self._streams.get(event.stream_id):
            stream.ended(self.protocol)

    def _reset(self, event: h2.events.StreamReset) -> None:
        self._counts.add("resets")
        if stream := self._streams.get(event.stream_id):
            refused = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
            said = "did not take the request" if refused else "broke the request off"
            stream.give_up(f"The service {said} (code {event.error_code}).", unseen=refused)

    def _goaway(self, last: int) -> None:
        """Streams above the last one that the service names were never looked at. The others are
        still answered, unless it is an error that it goes away for."""
        self._counts.add("goaways")
        self._going_away = True
        for number, stream in self._streams.items():
            if number > last:
                stream.give_up("The service closes the connection.", unseen=True)
        self._changed()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._moved.set()

    def eof_received(self) -> bool:
        """Nothing comes any more; nor can what waits to be written hold up those who wait."""
        self._fail("the service closed it")
        self._transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the service closed it" if exc is None else str(exc) or type(exc).__name__)
        self.gone.set()

    def _fail(self, why: str) -> None:
        if self._lost is not None:
            return
        self._lost = why
        self._counts.add("closed")
        for stream in self._streams.values():
            stream.give_up(f"The connection broke: {why}")
        self.ready.set()
        self._moved.set()
        self._changed()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)


_HANDLERS: Final[dict[type[h2.events.Event], Callable[[Http2Connection, Any], None]]] = {
    h2.events.RemoteSettingsChanged: Http2Connection._settings,
    h2.events.WindowUpdated: Http2Connection._window,
    h2.events.ResponseReceived: Http2Connection._head,
    h2.events.DataReceived: Http2Connection._data,
    h2.events.StreamEnded: Http2Connection._ended,
    h2.events.StreamReset: Http2Connection._reset,
}
