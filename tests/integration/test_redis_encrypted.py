"""A Redis that is spoken to in secret (``rediss://``), as those that are rented are."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import trustme

from stretto.contexts.caching.adapters.redis import RedisCacheStore
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.external.adapters.pace_redis import RedisPaceStore
from stretto.contexts.queue.adapters.celery_broker import CeleryMessages
from stretto.contexts.queue.model import JobPriority
from tests.caches import RedisServer
from tests.fakes.caching import a_key, an_entry
from tests.fakes.clock import FakeClock
from tests.integration.test_redis_trouble import wait_until


class Envelope:
    """Speaks TLS 1.3 with clients, tickets for the next time included, and plainly with Redis."""

    def __init__(self, context: ssl.SSLContext, plain_port: int) -> None:
        self._context = context
        self._plain_port = plain_port
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)

    async def _end(self) -> None:
        self._server.close()
        for one in self._open:
            one.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, to_them = await asyncio.open_connection("127.0.0.1", self._plain_port)
        ways = [
            asyncio.create_task(self._carry(reader, to_them)),
            asyncio.create_task(self._carry(theirs, writer)),
        ]
        self._open.update(ways)
        await asyncio.gather(*ways, return_exceptions=True)
        self._open.difference_update(ways)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
def url(shared_redis: RedisServer, tmp_path: Path) -> Iterator[str]:
    issuer, file = trustme.CA(), tmp_path / "issuer.pem"
    issuer.cert_pem.write_to_path(str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert("127.0.0.1").configure_cert(context)
    with closing(Envelope(context, int(shared_redis.port or 0))) as envelope:
        yield f"rediss://127.0.0.1:{envelope.port}/0?ssl_ca_certs={file}"


def test_the_cache_is_kept_in_an_encrypted_redis(url: str) -> None:
    identity = uuid4().hex
    clock = FakeClock(1_000_000.0)
    store = RedisCacheStore(url, identity=lambda: identity, now=clock, timeout_s=20.0)
    with closing(store):
        wait_until(lambda: store.status().working, at_most_s=20.0)
        store.put(an_entry("a key", b"a value"))
        found = store.get(a_key("a key"))
        assert found is not None
        assert found.value == b"a value"


def test_the_pace_of_a_service_is_shared_in_an_encrypted_redis(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(RedisPaceStore(url, name=uuid4().hex, timeout_s=20.0)) as store:
        written = store.change(lambda pace, now: replace(pace, closed_until=now + 60.0))
        assert store.change(lambda pace, _: pace) == written
    assert not caplog.messages


def test_messages_are_sent_through_an_encrypted_redis(url: str) -> None:
    messages = CeleryMessages(url)
    before = messages.count(JobPriority.HIGH)
    messages.send(JobId.new(), JobPriority.HIGH)
    assert messages.count(JobPriority.HIGH) == before + 1
    messages.close()
