"""Recordings that the server fetches for somebody: a few at a time, on threads of their own, and
only for as long as somebody waits for them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request

from stretto.bootstrap.fetching import RecordingFetcher
from stretto.contexts.core.access import Caller
from stretto.interfaces.http.errors import HttpError
from stretto.interfaces.http.streaming import hung_up

if TYPE_CHECKING:
    from stretto.bootstrap.fetching import Watchdog
    from stretto.contexts.processing.recordings import Recording

MOST_AT_ONCE: Final = 8
MOST_OF_ONE_KEY: Final = 2
RETRY_S: Final = 10


class Fetching:
    """All that is being fetched just now."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="fetch")
        self._going_on: dict[Watchdog, Caller] = {}

    async def fetch(
        self, request: Request, fetcher: RecordingFetcher, url: str, caller: Caller
    ) -> Recording:
        """Raises what RecordingFetcher.fetch raises, and HttpError when too much is fetched."""
        self._raise_if_too_many(caller)
        watchdog = fetcher.watchdog()
        self._going_on[watchdog] = caller
        leaving = asyncio.ensure_future(hung_up(request.receive))
        try:
            work = asyncio.get_running_loop().run_in_executor(
                self._threads, partial(fetcher.fetch, url, owner=caller.owner, watchdog=watchdog)
            )
            both: set[asyncio.Future[Any]] = {work, leaving}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                watchdog.bite()
            return await work
        finally:
            watchdog.bite()
            del self._going_on[watchdog]
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    def close(self) -> None:
        """Nobody waits any more."""
        for watchdog in list(self._going_on):
            watchdog.bite()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _raise_if_too_many(self, caller: Caller) -> None:
        own = sum(one.key == caller.key for one in self._going_on.values())
        if len(self._going_on) >= MOST_AT_ONCE or (caller.key and own >= MOST_OF_ONE_KEY):
            raise HttpError(
                429,
                "Too many recordings are being fetched; wait for one of them.",
                code="too_many_fetches",
                retry_after=str(RETRY_S),
            )
