"""Server-sent events, written so that a listener who does not read costs nothing for long."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext, suppress
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stretto.contexts.core.access import Caller
from stretto.interfaces.http.errors import HttpError

STALLED_S: Final = 10.0
RETRY_S: Final = 5
BEAT_S: Final = 10.0
BEAT: Final = b": still here\n\n"
ABORT: Final = "stretto.abort"
"""The extension of the scope by which a connection is cut at once; see connection.py."""

NARROW: Final = "stretto.narrow"
"""The one by which it holds little that is not read yet: it shows soon who does not read."""


LET_IN: Final = "let_in"
"""In the state of a scope: asks whether the key of the request is still valid."""


class EventStream(Response):
    """Sends what ``events`` yields. Whoever does not take it within STALLED_S is cut off; whoever
    hangs up, or whose key is revoked, ends it. ``turn`` is held meanwhile, and may refuse."""

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[bytes],
        *,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
        **headers: str,
    ) -> None:
        super().__init__(
            None, headers={"cache-control": "no-store", "x-accel-buffering": "no", **headers}
        )
        del self.headers["content-length"]
        self._events = events
        self._turn = turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._turn(), suppress(ClientDisconnect):
            await unless_hung_up(receive, self._send_all(scope, send))

    async def _send_all(self, scope: Scope, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        _use(scope, NARROW)
        try:
            async with aclosing(self._events) as events:  # type: ignore[type-var]
                async for block in events:
                    if not await _let_in(scope):
                        break
                    await _sent_in_time(send, block, more=True)
            await _sent_in_time(send, b"", more=False)
        except TimeoutError:
            # Closing in peace would wait until everything was read, which is never.
            _use(scope, ABORT)


class Streams:
    """How many streams each owner has open; ``most`` of them, 0 means any number. The one user of a
    machine, who has no key, has as many as there are connections."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def require_room(self, caller: Caller) -> None:
        """Raises HttpError."""
        if caller.key and self._most and self._open[caller.owner] >= self._most:
            raise HttpError(
                429,
                f"More than {self._most} streams at once are not opened for one owner; close one.",
                code="too_many_streams",
                retry_after=str(RETRY_S),
            )

    @contextmanager
    def turn(self, caller: Caller) -> Generator[None, None, None]:
        """One stream. Raises HttpError."""
        self.require_room(caller)
        self._open[caller.owner] += 1
        try:
            yield
        finally:
            self._open[caller.owner] -= 1
            self._open += Counter()  # owners without any are forgotten


async def _sent_in_time(send: Send, block: bytes, *, more: bool) -> None:
    async with asyncio.timeout(STALLED_S):
        await send({"type": "http.response.body", "body": block, "more_body": more})


async def unless_hung_up(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """``work``, for as long as the other side is there. Raises ClientDisconnect when it is gone."""
    working = asyncio.ensure_future(work)
    listening = asyncio.ensure_future(hung_up(receive))
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        working.result()
    finally:
        for task in (working, listening):
            task.cancel()
        await asyncio.gather(working, listening, return_exceptions=True)


async def hung_up(receive: Receive) -> None:
    """Returns when the other side is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _let_in(scope: Scope) -> bool:
    asks: Callable[[], Awaitable[bool]] | None = scope.get("state", {}).get(LET_IN)
    return asks is None or await asks()


def _use(scope: Scope, name: str) -> None:
    """What the connection can do besides, where it is one of ours."""
    extension: Any = scope.get("extensions", {}).get(name)
    if extension is not None:
        extension()
