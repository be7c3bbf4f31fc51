"""The pools of all services, on one thread of their own, for callers on any thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from stretto.contexts.core.errors import Cancelled, InvalidOption
from stretto.contexts.external.adapters.connection import trusting
from stretto.contexts.external.adapters.counting import Counts
from stretto.contexts.external.adapters.pool import ConnectionPool
from stretto.contexts.external.adapters.tunnel import Proxy
from stretto.contexts.external.model import (
    APIEndpoint,
    APIRequest,
    APIResponse,
    CallFailed,
    ConnectionMetrics,
    Phase,
    Timeouts,
)
from stretto.contexts.external.ports import Cancellation

SECONDS_BETWEEN_LOOKS: Final = 0.1
"""How soon a cancel, or the end of the time, is noticed."""

Result = TypeVar("Result")


class ConnectionPoolManager:
    """Satisfies Transport. The thread starts with the first request; connections are kept between
    them, for all files and threads of the process.

    ``authority`` is a file with the certificates to trust instead of the system's; ``proxy_for``
    says of a host through which proxy it is reached, or empty for none; ``pool`` goes to each
    ConnectionPool. Raises InvalidOption when the file cannot be used.
    """

    def __init__(
        self,
        *,
        authority: str = "",
        look_after_s: float = 5.0,
        proxy_for: Callable[[str], str] = lambda _: "",
        **pool: Any,
    ) -> None:
        try:
            self._tls = trusting(authority)
        except (OSError, ssl.SSLError) as cause:
            raise InvalidOption(
                f"The certificates in {authority} cannot be used: {cause.strerror or cause}. "
                "STRETTO_REMOTE_CA_FILE names a file with certificates in PEM."
            ) from cause
        self._counts = Counts()
        self._options = pool
        self._proxy_for = proxy_for
        self._look_after_s = look_after_s
        self._pools: dict[tuple[str, int], ConnectionPool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._warmed: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    @property
    def metrics(self) -> ConnectionMetrics:
        return self._counts.metrics()

    def send(
        self,
        request: APIRequest,
        *,
        timeouts: Timeouts,
        until: float,
        cancel: Cancellation,
    ) -> APIResponse:
        return answer_of(self._started(self._send(request, timeouts)), until=until, cancel=cancel)

    def warm_up(self, endpoint: APIEndpoint, *, timeouts: Timeouts) -> None:
        place = (endpoint.host, endpoint.port)
        if place in self._warmed:
            return
        self._warmed.add(place)

        async def warm() -> None:
            try:
                await self._pool(endpoint).warm_up(timeouts)
            except CallFailed:
                return

        self._started(warm())

    def close(self) -> None:
        with self._lock:
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(self._close_pools(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)

    async def _send(self, request: APIRequest, timeouts: Timeouts) -> APIResponse:
        return await self._pool(request.endpoint).send(request, timeouts)

    def _pool(self, endpoint: APIEndpoint) -> ConnectionPool:
        place = (endpoint.host, endpoint.port)
        if place not in self._pools:
            url = self._proxy_for(endpoint.host)
            self._pools[place] = ConnectionPool(
                endpoint,
                tls=self._tls,
                counts=self._counts,
                proxy=Proxy.at(url) if url else None,
                **self._options,
            )
        return self._pools[place]

    def _started(self, work: Coroutine[Any, Any, Result]) -> concurrent.futures.Future[Result]:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="connections", daemon=True
                )
                self._thread.start()
                self._loop.call_soon_threadsafe(self._tidy, self._loop)
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _tidy(self, loop: asyncio.AbstractEventLoop) -> None:
        for pool in self._pools.values():
            pool.look_after_connections()
        loop.call_later(self._look_after_s, self._tidy, loop)

    async def _close_pools(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for pool in self._pools.values():
            await pool.close()
        self._pools.clear()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def answer_of(
    work: concurrent.futures.Future[APIResponse], *, until: float, cancel: Cancellation
) -> APIResponse:
    """What becomes of a request that is on its way. Raises CallFailed and Cancelled."""
    while True:
        left_s = until - time.monotonic()
        try:
            return work.result(timeout=max(0.0, min(left_s, SECONDS_BETWEEN_LOOKS)))
        except concurrent.futures.TimeoutError:
            if work.done():  # a moment after we had stopped waiting, or it is its own error
                return work.result()
        if cancel.cancelled:
            work.cancel()
            raise Cancelled
        if left_s <= 0:
            work.cancel()
            raise CallFailed("The time for this piece is over.", phase=Phase.WAITING)
