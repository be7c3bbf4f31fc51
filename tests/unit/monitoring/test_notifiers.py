"""People are told: by real servers on the loopback interface."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from stretto.contexts.core.errors import InvalidOption, Unavailable
from stretto.contexts.core.events import AlertNotice, AlertsChanged
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.adapters.notify_apprise import AppriseNotifier
from stretto.contexts.monitoring.adapters.notify_log import LogNotifier
from stretto.contexts.monitoring.adapters.notify_smtp import SmtpNotifier
from stretto.contexts.monitoring.adapters.notify_webhook import WebhookNotifier
from tests.fakes.clock import FakeClock

SECRET = "canary-5f2c"
ALERT = AlertNotice(
    rule="dead-letters",
    severity="critical",
    firing=True,
    value=3.0,
    threshold=0.0,
    summary="Jobs were given up.",
    action="Look at them.",
)
NOTICE = AlertsChanged(at=Timestamp(1_000_000.0), group="queue", alerts=(ALERT,))


@dataclass
class Hook:
    """A web server that keeps what is posted to it."""

    status: int = 204
    posts: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.posts.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(hook.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        hook.url = f"http://127.0.0.1:{server.server_address[1]}/hook?a=b"
        yield hook
        server.shutdown()


def webhook(hook: Hook, secret: str = SECRET) -> WebhookNotifier:
    return WebhookNotifier(hook.url, secret=secret, clock=FakeClock())


def test_a_webhook_gets_what_happened_with_an_id_and_a_signature(hook: Hook) -> None:
    webhook(hook).notify(NOTICE, notice_id="id-1")
    ((path, headers, body),) = hook.posts
    document = json.loads(body)
    assert path == "/hook?a=b"
    assert document["alerts"][0]["rule"] == "dead-letters"
    assert "What to do: Look at them." in document["text"]
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("id-1", "1000000")
    signed = hmac.new(SECRET.encode(), b"id-1.1000000." + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"


def test_without_a_secret_nothing_is_signed(hook: Hook) -> None:
    webhook(hook, "").notify(NOTICE, notice_id="id-1")
    assert "webhook-signature" not in hook.posts[0][1]


@pytest.mark.parametrize("status", [301, 400, 500])
def test_a_webhook_that_does_not_take_it_is_tried_again_and_not_followed(
    hook: Hook, status: int
) -> None:
    hook.status = status
    with pytest.raises(Unavailable, match=str(status)) as caught:
        webhook(hook).notify(NOTICE, notice_id="id-1")
    assert len(hook.posts) == 1
    assert SECRET not in caught.value.message


def test_a_webhook_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    notifier = WebhookNotifier(f"http://u:{SECRET}@127.0.0.1:{port}", secret="", clock=FakeClock())
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 was not reached") as caught:
        notifier.notify(NOTICE, notice_id="id-1")
    assert SECRET not in caught.value.message


@dataclass
class MailServer:
    """Speaks as much SMTP as a client needs, without encryption."""

    accepts: bool = True
    lines: list[str] = field(default_factory=list)
    port: int = 0

    def serve(self, listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, connection.makefile("rwb") as stream:

            def say(text: str) -> None:
                stream.write(f"{text}\r\n".encode())
                stream.flush()

            say("220 ready")
            in_data = False
            for raw in stream:
                line = raw.decode().rstrip("\r\n")
                self.lines.append(line)
                if in_data:
                    if line == ".":
                        in_data = False
                        say("250 kept")
                    continue
                word = line.split(" ")[0].split(":")[0].upper()
                if word == "QUIT":
                    say("221 bye")
                    return
                if word == "RCPT" and not self.accepts:
                    say("550 nobody")
                elif word == "DATA":
                    in_data = True
                    say("354 go on")
                else:
                    say("250 fine")


@contextmanager
def mail_server(**given: Any) -> Iterator[MailServer]:
    server = MailServer(**given)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.port = listening.getsockname()[1]
        thread = threading.Thread(target=server.serve, args=(listening,), daemon=True)
        thread.start()
        yield server
        thread.join(5)


def mail(port: int, who: str = "") -> SmtpNotifier:
    return SmtpNotifier(f"smtp://{who}127.0.0.1:{port}/?from=a@x.org&to=b@x.org&to=c@x.org")


def test_a_mail_goes_to_everybody_with_a_subject_that_says_it() -> None:
    with mail_server() as server:
        mail(server.port).notify(NOTICE, notice_id="id-1")
    assert "Subject: Stretto: queue: 1 alert (dead-letters)" in server.lines
    assert "Message-ID: <id-1@stretto>" in server.lines
    assert [line for line in server.lines if line.lower().startswith("rcpt")] == [
        "rcpt TO:<b@x.org>",
        "rcpt TO:<c@x.org>",
    ]


def test_a_group_with_line_breaks_forges_no_header() -> None:
    with mail_server() as server:
        notice = replace(NOTICE, group="x\r\nBcc: evil@x.org")
        mail(server.port).notify(notice, notice_id="id-1")
    assert not [line for line in server.lines if line.startswith("Bcc")]


def test_a_mail_that_nobody_takes_is_tried_again() -> None:
    with mail_server(accepts=False) as server, pytest.raises(Unavailable, match="did not take"):
        mail(server.port).notify(NOTICE, notice_id="id-1")


def test_a_password_is_not_sent_in_the_clear() -> None:
    with mail_server() as server, pytest.raises(Unavailable) as caught:
        mail(server.port, f"user:{SECRET}@").notify(NOTICE, notice_id="id-1")
    secret = (SECRET, base64.b64encode(SECRET.encode()).decode().rstrip("="))
    assert not [line for line in server.lines for form in secret if form in line]
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "smtp://host/",
        "smtp:///?from=a@x.org&to=b@x.org",
        "smtp://host/?from=a@x.org&to=nobody",
        "smtp://host:x/?from=a@x.org&to=b@x.org",
        "smtp://host/?from=a@x.org&to=b@x.org%0d%0aBcc:c@x.org",
    ],
)
def test_an_address_of_a_mail_server_that_is_incomplete_is_refused(url: str) -> None:
    with pytest.raises(InvalidOption, match="STRETTO_ALERT_SMTP_URL"):
        SmtpNotifier(url)


@pytest.mark.filterwarnings("ignore")  # those of Apprise's own plug-ins
def test_apprise_is_told(hook: Hook) -> None:
    url = hook.url.replace("http://", "json://").partition("?")[0]
    AppriseNotifier(url).notify(NOTICE, notice_id="id-1")
    document = json.loads(hook.posts[0][2])
    assert document["title"] == "Stretto: queue: 1 alert (dead-letters)"
    assert "Jobs were given up." in document["message"]


@pytest.mark.filterwarnings("ignore")
def test_what_apprise_cannot_deliver_is_tried_again(hook: Hook) -> None:
    hook.status = 500
    url = hook.url.replace("http://", "json://").partition("?")[0]
    with pytest.raises(Unavailable):
        AppriseNotifier(url).notify(NOTICE, notice_id="id-1")


@pytest.mark.filterwarnings("ignore")
def test_an_address_that_apprise_does_not_know_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidOption, match="address 2") as caught:
        AppriseNotifier(f"json://localhost nonsense-{SECRET}://x")
    assert SECRET not in caught.value.message


def test_the_log_says_it_too(caplog: pytest.LogCaptureFixture) -> None:
    over = replace(ALERT, firing=False)
    with caplog.at_level(logging.INFO):
        LogNotifier().notify(replace(NOTICE, alerts=(ALERT, over)), notice_id="id-1")
    assert [(r.levelname, r.message.partition(":")[0]) for r in caplog.records] == [
        ("ERROR", "dead-letters"),
        ("INFO", "dead-letters is over"),
    ]
