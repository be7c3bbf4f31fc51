"""A speech service to test against: HTTP/2 or HTTP/1.1 over TLS, scripted, with a ledger.

The ledger is append-only and outside of what is tested: one line for each call that was
executed or refused. Run as a program it serves until its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from tests.fakes.backend_http1 import Http1Server
from tests.fakes.backend_http2 import Http2Server
from tests.fakes.backend_script import Call, Reply, Script, form, transcript_of

PATH = "/v1/audio/transcriptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the ledger. ``at`` and ``until`` are seconds of the machine's monotonic clock;
    ``in_flight`` counts the calls that were being worked on, this one included."""

    call: int
    key: str
    attempt: int
    connection: int
    stream: int
    status: int
    executed: bool
    bytes: int
    at: float
    until: float
    in_flight: int


class Backend:
    """``script`` may be changed at any time; ``most_streams`` and ``window`` are what the server
    tells each client of HTTP/2 about itself; ``goaway_every`` ends a connection after so many
    streams and leaves the newest of them unlooked at."""

    def __init__(
        self,
        *,
        ledger: Path,
        script: Script = lambda _: Reply(),
        protocols: tuple[str, ...] = ("h2", "http/1.1"),
        most_streams: int = 100,
        window: int = 4 * 2**20,
        goaway_every: int = 0,
        encrypted: bool = True,
    ) -> None:
        self.script = script
        self.most_streams = most_streams
        self.window = window
        self.goaway_every = goaway_every
        self.authority = trustme.CA()
        self.connections = 0
        self.open: set[asyncio.Transport] = set()
        self.complaints: list[str] = []
        self._ledger = ledger
        self._protocols = protocols
        self._encrypted = encrypted
        self._attempts: Counter[str] = Counter()
        self._calls = self._in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http{'s' if self._encrypted else ''}://localhost:{self.port}/v1"

    def entries(self) -> list[Entry]:
        if not self._ledger.exists():
            return []
        return [Entry(**json.loads(line)) for line in self._ledger.read_text().splitlines()]

    def authority_file(self, folder: Path) -> Path:
        """The certificate that a client has to trust, as a file."""
        path = folder / "authority.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return path

    @contextmanager
    def running(self) -> Generator[Backend, None, None]:
        thread = threading.Thread(target=self._serve, name="fake backend", daemon=True)
        started = threading.Event()
        self._loop.call_soon(started.set)
        self._loop.run_until_complete(self.start())
        thread.start()
        started.wait(10)
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def start(self, port: int = 0) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        context.set_alpn_protocols(list(self._protocols))
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Doorman(self),
            "127.0.0.1",
            port or self.port,
            ssl=context if self._encrypted else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Nobody is listening afterwards, and every connection is cut."""
        if self._server is not None:
            self._server.close()
        for transport in list(self.open):
            transport.abort()
        while self.open:
            await asyncio.sleep(0.001)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    def go_down(self) -> None:
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result(10)

    def come_up(self) -> None:
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result(10)

    def arrived(self, headers: dict[str, str], body: bytes) -> tuple[Call, Reply]:
        """A whole request is here: what is to be done with it?"""
        fields, audio = form(headers.get("content-type", ""), body)
        key = headers.get("idempotency-key", "")
        self._attempts[key] += 1
        call = Call(
            number=self._calls,
            attempt=self._attempts[key],
            key=key,
            headers=headers,
            fields=fields,
            audio=audio,
        )
        self._calls += 1
        reply = self.script(call)
        if reply.body is None:
            body = transcript_of(fields, audio)
            reply = Reply(**{**_as_dict(reply), "body": body})
        return call, reply

    def enter(self) -> int:
        self._in_flight += 1
        return self._in_flight

    def leave(self) -> None:
        self._in_flight -= 1

    def record(self, call: Call, reply: Reply, **where: Any) -> None:
        entry = {
            "call": call.number,
            "key": call.key,
            "attempt": call.attempt,
            "status": reply.status,
            "executed": reply.executed,
            "bytes": len(call.audio),
            "until": time.monotonic(),
            **where,
        }
        with self._ledger.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _as_dict(reply: Reply) -> dict[str, Any]:
    return {name: getattr(reply, name) for name in Reply.__dataclass_fields__}


class _Doorman(asyncio.Protocol):
    """Looks which protocol was agreed on, and hands the connection to that server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._backend.connections += 1
        tls = transport.get_extra_info("ssl_object")
        chosen = tls.selected_alpn_protocol() if tls else None
        kind = Http2Server if chosen == "h2" else Http1Server
        server = kind(self._backend, self._backend.connections)
        transport.set_protocol(server)
        server.connection_made(transport)


@contextmanager
def backend(folder: Path, **given: Any) -> Generator[Backend, None, None]:
    """A backend on a free port of this machine, whose ledger lies in ``folder``."""
    with Backend(ledger=folder / "ledger.jsonl", **given).running() as running:
        yield running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="for the ledger and the certificate")
    parser.add_argument("--takes", type=float, default=0.0, help="seconds a call takes")
    given = parser.parse_args()
    with backend(given.folder, script=lambda _: Reply(takes_s=given.takes)) as running:
        authority = running.authority_file(given.folder)
        print(json.dumps({"url": running.url, "authority": str(authority)}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
