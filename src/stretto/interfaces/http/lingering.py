"""Says no in a way that is heard: whoever is refused in the middle of a body gets the answer before
the connection is closed, though nobody reads the body any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_S: Final = 2.0
LINGER_BYTES: Final = 64 << 20
"""So much of a refused body is thrown away, for clients that read only when they have written. A
connection that is closed with unread bytes takes the answer along (RFC 9112, section 9.6)."""


class Lingering:
    """Around an application: refusals of requests whose body has not come end the connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive)
        refusing = False

        async def sending(message: Message) -> None:
            nonlocal refusing
            if message["type"] == "http.response.start" and message["status"] >= 400:
                refusing = body.is_coming
                if refusing:
                    headers = [h for h in message["headers"] if h[0] != b"connection"]
                    message["headers"] = [*headers, (b"connection", b"close")]
            if refusing and message["type"] == "http.response.body":
                await send({**message, "more_body": True})
                if not message.get("more_body"):
                    await body.throw_away()
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await send(message)

        await self._app(scope, body.receive, sending)


class _Body:
    """Knows whether more of the body is to come."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        self._receive = receive
        self.is_coming = b"transfer-encoding" in headers or headers.get(
            b"content-length", b"0"
        ) not in {b"", b"0"}

    async def receive(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):
            self.is_coming = False
        return message

    async def throw_away(self) -> None:
        left = LINGER_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while self.is_coming and left > 0:
                    left -= len((await self.receive()).get("body", b""))
