"""Jobs for recordings that lie at an address."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from stretto.interfaces.http import fetching
from tests.fakes.shelf import SOUND, Handler, Shelf, at_home, dripping, whole
from tests.serving import Site, site

ENDS_S = 30.0


@pytest.fixture
def open_site(home: Path) -> Iterator[Site]:
    """May go to this machine, which is everywhere."""
    with site(home, settings={"outgoing_allow": "127.0.0.0/8"}, resolve=at_home) as found:
        yield found


def incoming(found: Site) -> list[Path]:
    return list(found.serving.settings.recordings_path.rglob("*.part"))


def test_a_recording_is_fetched_before_its_job_is_accepted(open_site: Site, shelf: Shelf) -> None:
    shelf.behaviours["/talk.mp3"] = whole
    wanted = {"url": shelf.url("/talk.mp3"), "language": "de", "priority": "low"}
    answer = open_site.client().post("/api/jobs", json=wanted)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["file"], job["language"], job["priority"]) == ("talk.mp3", "de", "low")
    digest = hashlib.sha256(SOUND).hexdigest()
    kept = open_site.serving.settings.recordings_path / "_" / digest / "talk.mp3"
    assert kept.read_bytes() == SOUND
    assert open_site.bell.rings == 1
    again = open_site.client().post("/api/jobs", json={"file_hash": digest})
    assert again.status_code == 202


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("http://10.0.0.1/talk.mp3", 400, "address_refused"),
        ("http://2130706433:22/talk.mp3", 400, "address_refused"),
        ("http://[::ffff:169.254.169.254]/talk.mp3", 400, "address_refused"),
        ("file:///etc/passwd", 422, "invalid_value"),
        ("http://user:word@example.org/", 422, "invalid_value"),
        ("http://example.org/" + "a" * 2048, 422, "invalid_value"),
    ],
)
def test_where_one_may_not_go_nobody_is_sent(home: Path, url: str, status: int, code: str) -> None:
    with site(home) as found:
        answer = found.client().post("/api/jobs", json={"url": url})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
        assert found.client().get("/api/jobs").json()["jobs"] == []


def test_what_cannot_be_had_is_an_error_of_the_request(open_site: Site, shelf: Shelf) -> None:
    shelf.behaviours["/gone"] = lambda handler: handler.begin(404)
    refused = open_site.client().post("/api/jobs", json={"url": shelf.url("/gone")})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "media_not_fetched")
    both = {"url": shelf.url("/gone"), "file_hash": "0" * 64}
    assert open_site.client().post("/api/jobs", json=both).status_code == 400
    model = {"url": shelf.url("/gone"), "model": "nobody/has-it"}
    assert open_site.client().post("/api/jobs", json=model).status_code == 404
    assert len(shelf.asked) == 1, "what is refused anyway is not fetched"


def test_a_recording_over_the_limit_is_refused_as_an_upload_is(home: Path, shelf: Shelf) -> None:
    def large(handler: Handler) -> None:
        handler.begin(Content_Length="1000001")

    shelf.behaviours["/long.wav"] = large
    allowed = {"outgoing_allow": "127.0.0.0/8", "serve_upload_mb": 1}
    with site(home, settings=allowed, resolve=at_home) as found:
        answer = found.client().post("/api/jobs", json={"url": shelf.url("/long.wav")})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
        assert incoming(found) == []


def test_whoever_hangs_up_is_waited_for_no_more(open_site: Site, shelf: Shelf) -> None:
    shelf.behaviours["/slow.wav"] = dripping
    place = httpx2.URL(open_site.url)
    body = f'{{"url": "{shelf.url("/slow.wav")}"}}'
    head = (
        "POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    with socket.create_connection((place.host, place.port)) as asking:
        asking.sendall(head.encode())
        assert shelf.begun.wait(ENDS_S)
    assert shelf.left.wait(ENDS_S), "it is still being fetched"


def test_a_few_are_fetched_at_once_and_the_server_answers_meanwhile(
    open_site: Site, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MOST_AT_ONCE", 1)
    shelf.behaviours["/slow.wav"] = dripping
    codes = []

    def fetch() -> None:
        with httpx2.Client(base_url=open_site.url, timeout=120) as client:
            answer = client.post("/api/jobs", json={"url": shelf.url("/slow.wav")})
            codes.append(answer.status_code)

    waiting = threading.Thread(target=fetch)
    waiting.start()
    try:
        assert shelf.begun.wait(ENDS_S)
        refused = open_site.client().post("/api/jobs", json={"url": shelf.url("/slow.wav")})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert open_site.client().get("/api/jobs").status_code == 200
    finally:
        shelf.left.set()  # it breaks off
        waiting.join()
    assert codes == [400]
