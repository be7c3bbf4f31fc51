"""Bodies as they come: nobody is waited for without end, and strangers send little."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from stretto.contexts.core.errors import AccessKeyRefused, StrettoError
from stretto.interfaces.http.errors import HttpError

SILENCE_S: Final = 60.0
"""So long nothing of a body may come."""

MOST_OF_A_STRANGER: Final = 16 << 10
"""Bytes of a request that nobody has been let in with: a body is read before its route is asked
who may use it. A key that is to be put into a cookie is far shorter."""


class Refusal(HTTPException):
    """An error of ours that FastAPI lets through while it reads a body."""

    def __init__(self, error: StrettoError) -> None:
        super().__init__(400, error.message)
        self.error = error


class Body:
    """The body of one request. ``receive`` raises Refusal."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self._is_coming = True
        self._read_bytes = 0

    async def receive(self) -> Message:
        if not self._is_coming:  # whoever asks now waits for the other side to hang up
            return await self._receive()
        try:
            async with asyncio.timeout(SILENCE_S):
                message = await self._receive()
        except TimeoutError as cause:
            raise Refusal(
                HttpError(
                    408, "The body stopped coming.", code="request_timeout", connection="close"
                )
            ) from cause
        self._is_coming = bool(message.get("more_body", False))
        self._read_bytes += len(message.get("body", b""))
        if self._read_bytes > MOST_OF_A_STRANGER and self._scope["state"].get("caller") is None:
            raise Refusal(
                self._scope["state"].get("refusal")
                or AccessKeyRefused("A key is needed to send so much.")
            )
        return message
