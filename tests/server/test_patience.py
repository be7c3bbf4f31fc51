"""Whoever keeps a server waiting: with a head, a body, or an answer that nobody reads. They are cut
off, and whoever is merely slow or waits for a text is not."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse

import httpx2
import pytest

from stretto.interfaces.http import bodies, connection
from stretto.interfaces.http.bodies import MOST_OF_A_STRANGER
from tests.mediagen import media, tone
from tests.server.test_transcripts import spoken
from tests.serving import Site

SOON_S = 60.0
HOST = b"Host: localhost\r\n"


def connected(found: Site, *, buffer_bytes: int | None = None) -> socket.socket:
    place = httpx2.URL(found.url)
    client = socket.socket()
    if buffer_bytes is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    client.settimeout(SOON_S)
    client.connect((place.host, place.port))
    return client


def asked(client: HTTPConnection, path: str) -> HTTPResponse:
    client.request("GET", path)
    return client.getresponse()


def answered(client: socket.socket) -> bytes:
    """The first answer that comes, or nothing from a connection that was closed."""
    try:
        return client.recv(1 << 16)
    except ConnectionResetError:
        return b""


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_second_request_that_stops_in_its_head_is_cut_off(
    open_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(HTTPConnection("127.0.0.1", open_site.port, timeout=SOON_S)) as client:
        assert asked(client, "/health").read()
        monkeypatch.setattr(connection, "REQUEST_S", 0.5)
        assert asked(client, "/health").read()
        client.sock.sendall(b"G")
        assert answered(client.sock) == b""


def test_requests_one_after_the_other_and_long_ones_are_not(
    open_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 4.0)
    job = open_site.job()
    with closing(HTTPConnection("127.0.0.1", open_site.port, timeout=SOON_S)) as client:
        for _ in range(3):
            assert asked(client, "/health").read()
        events = asked(client, f"/api/jobs/{job.id}/events")
        time.sleep(4.5)  # a clock that must not run any more would have stopped it
        open_site.serving.queue.cancel(job.id)
        assert b"JobCancelled" in events.read()


def test_a_body_that_does_not_come_is_not_waited_for(
    keyed_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SILENCE_S", 0.3)
    head = b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n"
    with connected(keyed_site) as client:
        client.sendall(b"POST /api/session HTTP/1.1\r\n" + HOST + head)
        assert answered(client).startswith(b"HTTP/1.1 408")


def test_strangers_send_no_more_than_a_key_needs(keyed_site: Site) -> None:
    kept = keyed_site.keep(spoken("one"), owner="anna")
    place = f"/api/transcripts/{kept}/edits"
    body = b'{"segments": [' + b"{}," * MOST_OF_A_STRANGER + b"{}]}"
    headers = {"content-type": "application/json"}
    for client in (keyed_site.client(), keyed_site.client("stretto_wrong")):
        answer = client.post(place, content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
    anna = keyed_site.client(keyed_site.key("anna"))
    assert anna.post(place, content=body, headers=headers).status_code == 422


def test_an_answer_that_nobody_reads_is_given_up(
    open_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "UNREAD_S", 0.5)
    sound = media(tone(0.5)) + bytes(30 << 20)
    open_site.client().post("/api/jobs", files={"file": ("talk.wav", sound)})
    kept = open_site.keep(spoken("one", sound=sound))
    with connected(open_site, buffer_bytes=4096) as client:
        client.sendall(f"GET /api/transcripts/{kept}/audio HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        until(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)


def test_whoever_hangs_up_while_a_text_is_waited_for_is_forgotten(open_site: Site) -> None:
    open_site.bell.work = True
    with connected(open_site) as client:
        body = (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x--\r\n'
        )
        head = b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n"
        client.sendall(b"POST /v1/audio/transcriptions HTTP/1.1\r\n" + HOST + head % len(body))
        client.sendall(body)
        until(lambda: open_site.bell.rings)
        until(lambda: open_site.answering() == 1)
    until(lambda: open_site.answering() == 0)
    (job,) = open_site.client().get("/api/jobs").json()["jobs"]
    assert job["status"] == "queued"
