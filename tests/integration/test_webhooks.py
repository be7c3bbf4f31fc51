"""Callbacks over real sockets and both databases: who is called, who is not, and how often."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

import stretto
from stretto.bootstrap.database import build_database
from stretto.bootstrap.queueing import build_queue
from stretto.bootstrap.webhooks import build_courier
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import (
    AddressRefused,
    CallbackFailed,
    InvalidOption,
    MediaNotFound,
)
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.external.adapters.guarded_connection import GuardedConnections
from stretto.contexts.external.adapters.guarded_http import TIMEOUT_S, GuardedHttp
from stretto.contexts.external.address_guard import AddressGuard, networks
from stretto.contexts.queue.adapters.webhooks import SqlWebhooks
from stretto.contexts.queue.model import FileWork
from stretto.contexts.queue.transitions import cancelled
from stretto.contexts.queue.webhooks import CourierThread, signature
from tests.conftest import Place
from tests.queues import queue_on
from tests.servers import Database, settings_of
from tests.unit.queue.jobs import a_submission, job_id
from tests.unit.queue.shop import until

SECRET = base64.b64encode(b"0123456789abcdef01234567").decode()
ENDS_S = 30.0
HERE = AddressGuard(allowed=networks("127.0.0.0/8"))


def calling(guard: AddressGuard = HERE, *, timeout_s: float = TIMEOUT_S, **how: Any) -> GuardedHttp:
    return GuardedHttp(GuardedConnections(guard, **how), timeout_s=timeout_s)


class Listener(ThreadingHTTPServer):
    """Remembers what it is told, and answers with ``answers``, the last one again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.answers = [204]
        self.drips = False
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, dict(self.headers), body))
        if self.server.drips:
            self.drip()
            return
        answers = self.server.answers
        status = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.server.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def drip(self) -> None:
        """A header without an end, a byte at a time, for as long as anybody listens."""
        try:
            while True:
                self.wfile.write(b"H")
                time.sleep(0.02)
        except OSError:
            self.close_connection = True
            self.server.ended.set()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(server: Listener) -> Iterator[Listener]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening(Listener()) as server:
        yield server


@pytest.fixture(scope="module")
def issuer() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def authority(issuer: trustme.CA, tmp_path: Path) -> str:
    """A file with the certificate of whoever vouches for `secured`."""
    file = tmp_path / "ca.pem"
    issuer.cert_pem.write_to_path(str(file))
    return str(file)


@pytest.fixture
def secured(issuer: trustme.CA) -> Iterator[Listener]:
    """Listens over TLS, as hooks.example."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert("hooks.example").configure_cert(context)
    server = Listener()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with listening(server):
        yield server


def test_the_connection_goes_to_the_address_that_was_checked(listener: Listener) -> None:
    asked = []

    def turncoat(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    url = f"http://hooks.example:{listener.server_port}/hook"
    calling(resolve=turncoat).post(url, b"{}", {"webhook-id": "1"})
    assert asked == ["hooks.example"], "a name is asked once"
    ((path, headers, body),) = listener.heard
    assert (path, body) == ("/hook", b"{}")
    assert headers["Host"] == f"hooks.example:{listener.server_port}"


def test_this_machine_is_not_called_unless_it_is_allowed(listener: Listener) -> None:
    for spelling in ("127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::ffff:127.0.0.1]"):
        for guard in (AddressGuard(), AddressGuard(allowed=networks("10.0.0.0/8"))):
            url = f"http://{spelling}:{listener.server_port}/hook"
            with pytest.raises((AddressRefused, CallbackFailed)):
                calling(guard).post(url, b"{}", {})
    assert listener.heard == []


def test_redirects_are_not_followed(listener: Listener) -> None:
    listener.answers = [302]
    with pytest.raises(CallbackFailed, match="Redirects are not"):
        calling().post(listener.url, b"{}", {})
    assert len(listener.heard) == 1


def test_whoever_answers_a_byte_at_a_time_is_left(listener: Listener) -> None:
    listener.drips = True
    with pytest.raises(CallbackFailed):
        calling(timeout_s=0.5).post(listener.url, b"{}", {})
    assert listener.ended.wait(ENDS_S), "it is still being listened to"


def test_nobody_there_is_said_without_the_url() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(CallbackFailed) as failed:
            calling().post(f"http://127.0.0.1:{port}/token", b"{}", {})
    assert "token" not in failed.value.message


def test_certificates_are_verified(secured: Listener, authority: str) -> None:
    url = f"https://hooks.example:{secured.server_port}/hook"
    known = calling(resolve=lambda *_: ["127.0.0.1"], authority=authority)
    unknown = calling(resolve=lambda *_: ["127.0.0.1"])
    known.post(url, b"{}", {})
    with pytest.raises(CallbackFailed, match="not trusted"):
        unknown.post(url, b"{}", {})
    assert len(secured.heard) == 1


def test_nor_is_a_thread_held_by_whoever_drips_under_encryption(
    secured: Listener, authority: str
) -> None:
    secured.drips = True
    url = f"https://hooks.example:{secured.server_port}/hook"
    patient = calling(resolve=lambda *_: ["127.0.0.1"], authority=authority, timeout_s=0.5)
    with pytest.raises(CallbackFailed):
        patient.post(url, b"{}", {})
    assert secured.ended.wait(ENDS_S), "it is still being listened to"


def test_a_job_that_is_over_is_told_once_and_its_log_says_so(
    place: Place, listener: Listener
) -> None:
    listener.answers = [503, 204]
    settings = settings_of(place, webhook_secret=SECRET, outgoing_allow="127.0.0.0/8")
    database = build_database(settings)
    queue = build_queue(settings, database, publish=EventBus().publish)
    courier = build_courier(settings, database)
    try:
        job = queue.submit(FileWork(path="/talks/talk.mp3"), callback=listener.url)
        courier.deliver()
        assert listener.heard == [], "it is not over"
        queue.cancel(job.id)
        assert courier.deliver() == 1
        with database.write() as connection:  # the wait is over
            connection.execute("UPDATE queue_webhook SET due_at = 0")
        assert courier.deliver() == 1
        assert courier.deliver() == 0
        first, second = listener.heard
        assert first[1]["webhook-id"] == second[1]["webhook-id"]
        _, headers, body = second
        assert json.loads(body)["data"]["id"] == str(job.id)
        expected = signature(headers["webhook-id"], int(headers["webhook-timestamp"]), body, SECRET)
        assert headers["webhook-signature"] == expected
        kinds = [type(heard.event).__name__ for heard in queue.heard(job.id)]
        assert kinds == ["JobQueued", "JobCancelled", "WebhookDelivered"]
    finally:
        database.close()


def test_a_thread_delivers_as_soon_as_it_is_nudged(place: Place, listener: Listener) -> None:
    settings = settings_of(place, webhook_secret=SECRET, outgoing_allow="127.0.0.0/8")
    database = build_database(settings)
    queue = build_queue(settings, database, publish=EventBus().publish)
    courier = CourierThread(build_courier(settings, database))
    courier.start()
    try:
        job = queue.submit(FileWork(path="/talks/talk.mp3"), callback=listener.url)
        queue.cancel(job.id)
        courier.nudge()
        until(lambda: len(listener.heard) == 1, seconds=4.0)
    finally:
        courier.close()
        database.close()


def test_a_job_of_the_library_calls_back_before_the_program_ends(
    tmp_path: Path, listener: Listener
) -> None:
    given = {"webhook_secret": SECRET, "outgoing_allow": "127.0.0.0/8"}
    with stretto.open(home=tmp_path / "home", **given) as application:
        job = application.submit(tmp_path / "missing.wav", callback=listener.url)
        with pytest.raises(MediaNotFound):
            application.result(job, timeout_s=60)
    ((_, headers, body),) = listener.heard
    assert json.loads(body)["data"]["id"] == str(job)
    at_s = int(headers["webhook-timestamp"])
    signed = signature(headers["webhook-id"], at_s, body, SECRET)
    assert headers["webhook-signature"] == signed


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_call_is_one_courier_s_at_a_time(kind: str, request: pytest.FixtureRequest) -> None:
    database: Database = request.getfixturevalue(f"{kind}_database")
    queue = queue_on(database)
    for number in (1, 2):
        queue.jobs.add(a_submission(number, callback="https://e.org/"))
        queue.jobs.change(job_id(number), cancelled)
    records = SqlWebhooks(database, outbox=OutboxWriter(), clock=queue.clock)
    (first,) = records.take(1, for_s=60.0)
    (second,) = records.take(10, for_s=60.0)
    assert {first.job_id, second.job_id} == {job_id(1), job_id(2)}
    assert records.take(10, for_s=60.0) == ()
    records.done(first)
    queue.clock.advance(61.0)
    (again,) = records.take(10, for_s=60.0)
    assert (again.id, again.attempts) == (second.id, 2)
    records.put_off(second, delay_s=0.0)  # whoever was late decides nothing
    assert records.take(10, for_s=60.0) == ()


def test_a_callback_that_would_not_be_called_is_refused_at_once(place: Place) -> None:
    settings = settings_of(place, webhook_secret=SECRET)
    database = build_database(settings)
    queue = build_queue(settings, database, publish=EventBus().publish)
    unsigned = build_queue(settings_of(place), database, publish=EventBus().publish)
    try:
        for url in ("ftp://example.org/", "http://example.org:22/", "https://u:p@example.org/"):
            with pytest.raises(AddressRefused):
                queue.submit(FileWork(path="/talks/talk.mp3"), callback=url)
        with pytest.raises(InvalidOption, match="STRETTO_WEBHOOK_SECRET"):
            unsigned.submit(FileWork(path="/talks/talk.mp3"), callback="https://example.org/")
    finally:
        database.close()
