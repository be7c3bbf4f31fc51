"""Recordings that are handed in: written while they are hashed, refused at the limit, gone when
they break off, and gone on with by tus."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import threading
import time
from pathlib import Path

import httpx2
import pytest

from stretto.contexts.core.access import Caller
from stretto.contexts.core.errors import UnknownUpload
from stretto.contexts.core.identifiers import FileHash, Timestamp
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.processing.recordings import Recording, safe_name
from stretto.contexts.queue.model import FileWork, JobPriority, Wanted
from stretto.interfaces.http.server import Server
from stretto.interfaces.http.watching import Watch
from tests.fakes.examples import a_transcript
from tests.serving import Site, site

TUS = {"tus-resumable": "1.0.0"}
PIECE = {**TUS, "content-type": "application/offset+octet-stream"}


def recordings(found: Site) -> Path:
    return found.serving.settings.recordings_path


def incoming(found: Site) -> list[Path]:
    folder = recordings(found) / ".incoming"
    return list(folder.iterdir()) if folder.exists() else []


def begun(client: httpx2.Client, length: int, *, name: str = "talk.mp3") -> str:
    metadata = f"filename {base64.b64encode(name.encode()).decode()},private"
    answer = client.post(
        "/api/uploads",
        headers={**TUS, "upload-length": str(length), "upload-metadata": metadata},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def appended(client: httpx2.Client, place: str, offset: int, piece: bytes) -> httpx2.Response:
    return client.patch(place, content=piece, headers={**PIECE, "upload-offset": str(offset)})


def uploaded(found: Site, content: bytes) -> tuple[str, Recording]:
    """One that came in pieces, and where it is dropped."""
    client = found.client()
    place = begun(client, len(content))
    appended(client, place, 0, content)
    digest = FileHash(hashlib.sha256(content).hexdigest())
    recording = found.serving.recordings.find("", digest)
    assert recording is not None
    return place, recording


def test_what_was_uploaded_lies_under_its_owner_and_content(open_site: Site) -> None:
    content = os.urandom(3_000_000)
    answer = open_site.client().post(
        "/api/jobs", files={"file": ("../../Talk\n.mp3", content)}, data={"priority": "low"}
    )
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/jobs/{answer.json()['id']}"
    assert (answer.json()["file"], answer.json()["priority"]) == ("Talk.mp3", "low")
    digest = hashlib.sha256(content).hexdigest()
    path = recordings(open_site) / "_" / digest / "Talk.mp3"
    assert path.read_bytes() == content
    assert incoming(open_site) == []
    assert open_site.bell.rings == 1


def test_a_known_recording_is_named_by_its_hash(open_site: Site) -> None:
    client = open_site.client()
    client.post("/api/jobs", files={"file": ("talk.mp3", b"some bytes")})
    digest = hashlib.sha256(b"some bytes").hexdigest()
    again = client.post("/api/jobs", json={"file_hash": digest, "language": "de"})
    assert (again.status_code, again.json()["language"]) == (202, "de")
    assert client.post("/api/jobs", json={"file_hash": "0" * 64}).status_code == 404
    assert client.post("/api/jobs", json={}).status_code == 400


def test_a_body_over_the_limit_is_refused_before_it_has_come(home: Path) -> None:
    with site(home, settings={"serve_upload_mb": 1}) as found:
        place = httpx2.URL(found.url)
        head = (
            "POST /api/jobs HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n"
        )
        with socket.create_connection((place.host, place.port), timeout=60) as connection:
            announced = head + "Content-Length: 9000000000\r\n\r\n"
            connection.sendall(announced.encode())
            assert connection.recv(64).startswith(b"HTTP/1.1 413")
        part = (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
            + bytes(65_536)
        )
        with socket.create_connection((place.host, place.port), timeout=60) as connection:
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            sent = 0
            connection.setblocking(False)
            answer = b""
            until = time.monotonic() + 60
            while not answer and time.monotonic() < until:
                try:
                    answer = connection.recv(64)
                except BlockingIOError:
                    block = part if not sent else bytes(65_536)
                    try:
                        connection.sendall(b"%x\r\n%s\r\n" % (len(block), block))
                        sent += len(block)
                    except BlockingIOError:
                        raise AssertionError("half a block was sent") from None
                    time.sleep(0.01)
            assert answer.startswith(b"HTTP/1.1 413")
            assert sent < 3_000_000
        assert incoming(found) == []


def test_an_upload_that_breaks_off_leaves_nothing(open_site: Site) -> None:
    place = httpx2.URL(open_site.url)
    connection = socket.create_connection((place.host, place.port))
    connection.sendall(
        b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nsome'
    )
    end = time.monotonic() + 60
    while not incoming(open_site) and time.monotonic() < end:
        time.sleep(0.01)
    assert incoming(open_site)
    connection.close()
    while incoming(open_site) and time.monotonic() < end:
        time.sleep(0.01)
    assert incoming(open_site) == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data", b"", 415),
        ("text/plain", b"hello", 415),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\n", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disp", 400),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nbase\r\n--x--\r\n',
            400,
        ),
        ("application/json", b"{", 422),
        ("application/json", b'{"file_hash": 7}', 422),
        ("application/json", b'{"surprise": true}', 422),
    ],
)
def test_a_damaged_body_is_refused(
    open_site: Site, content_type: str, body: bytes, status: int
) -> None:
    answer = open_site.client().post(
        "/api/jobs", content=body, headers={"content-type": content_type}
    )
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert incoming(open_site) == []


def test_an_idempotency_key_belongs_to_one_request(open_site: Site) -> None:
    client = open_site.client(**{"idempotency-key": "once"})
    file = {"file": ("talk.mp3", b"some bytes")}
    first, again = (client.post("/api/jobs", files=file).json() for _ in range(2))
    assert first["id"] == again["id"]
    other = client.post("/api/jobs", files={"file": ("talk.mp3", b"other bytes")})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")


def test_an_upload_goes_on_where_it_broke_off(open_site: Site) -> None:
    client, content = open_site.client(), os.urandom(2_500_000)
    place = begun(client, len(content), name="Доклад.mp3")
    assert appended(client, place, 0, content[:1_000_000]).headers["upload-offset"] == "1000000"
    wrong = appended(client, place, 5, content[5:10])
    assert wrong.status_code == 409
    head = client.head(place, headers=TUS)
    assert head.headers["upload-offset"] == "1000000"
    assert head.headers["upload-length"] == "2500000"
    early = client.post("/api/jobs", json={"upload": place.rsplit("/", 1)[1]})
    assert early.status_code == 409
    assert appended(client, place, 1_000_000, content[1_000_000:]).status_code == 204
    document = client.get(place).json()
    assert document["file_hash"] == hashlib.sha256(content).hexdigest()
    job = client.post("/api/jobs", json={"upload": document["id"], "priority": "high"})
    assert (job.status_code, job.json()["file"]) == (202, "Доклад.mp3")
    found = open_site.serving.recordings.find("", FileHash(document["file_hash"]))
    assert found is not None
    assert found.path.read_bytes() == content


def test_what_came_before_a_connection_broke_counts(open_site: Site) -> None:
    client = open_site.client()
    upload, place = begun(client, 1_000_000), httpx2.URL(open_site.url)
    with socket.create_connection((place.host, place.port)) as connection:
        connection.sendall(
            f"PATCH {upload} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
            "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
            "Content-Length: 1000000\r\n\r\n".encode()
            + bytes(300_000)
        )
        time.sleep(0.2)
    status, end = 0, time.monotonic() + 60
    while status != 204:  # the broken request may not have noticed yet
        assert time.monotonic() < end, status
        came = int(client.head(upload, headers=TUS).headers["upload-offset"])
        assert came <= 300_000
        if came:
            status = appended(client, upload, came, bytes(1_000_000 - came)).status_code
            assert status in {204, 409, 423}
        time.sleep(0.02)
    assert client.get(upload).json()["file_hash"] == hashlib.sha256(bytes(1_000_000)).hexdigest()


def test_more_than_was_announced_is_not_taken(open_site: Site) -> None:
    client = open_site.client()
    place = begun(client, 10)
    assert appended(client, place, 0, b"eleven byte").status_code == 413
    assert int(client.head(place, headers=TUS).headers["upload-offset"]) <= 10


def test_an_upload_is_forgotten_on_request_and_after_a_day(open_site: Site) -> None:
    client = open_site.client()
    dropped, old, new = (begun(client, 10) for _ in range(3))
    assert client.delete(dropped, headers=TUS).status_code == 204
    assert client.head(dropped, headers=TUS).status_code == 404
    for path in incoming(open_site):
        if old.rsplit("/", 1)[1] in path.name:
            os.utime(path, (0, time.time() - 25 * 3600))
    open_site.serving.keeper.tidy()
    assert client.head(old, headers=TUS).status_code == 404
    assert client.head(new, headers=TUS).status_code == 200


def test_what_a_server_can_do_of_tus_is_said(open_site: Site) -> None:
    client = open_site.client()
    headers = client.options("/api/uploads").headers
    assert headers["tus-version"] == "1.0.0"
    assert "termination" in headers["tus-extension"]
    assert client.post("/api/uploads", headers={"upload-length": "5"}).status_code == 412
    large = {**TUS, "upload-length": str(10**17)}
    assert client.post("/api/uploads", headers=large).status_code == 413
    for wrong in ("", "-1", "x", "9" * 30, "0"):
        answer = client.post("/api/uploads", headers={**TUS, "upload-length": wrong})
        assert answer.status_code == 400, wrong


def test_an_upload_is_its_owners(keyed_site: Site) -> None:
    anna, boris = (keyed_site.client(keyed_site.key(name)) for name in ("anna", "boris"))
    place = begun(anna, 10)
    assert boris.head(place, headers=TUS).status_code == 404
    assert appended(boris, place, 0, bytes(10)).status_code == 404
    assert appended(anna, place, 0, bytes(10)).status_code == 204
    stolen = boris.post("/api/jobs", json={"upload": place.rsplit("/", 1)[1]})
    assert stolen.status_code == 404
    assert (
        boris.post(
            "/api/jobs", json={"file_hash": hashlib.sha256(bytes(10)).hexdigest()}
        ).status_code
        == 404
    )


def test_what_one_owner_deletes_stays_with_another_who_has_the_same(keyed_site: Site) -> None:
    """Uploaded, and without a job yet: to lose it would also say that somebody else had it."""
    content = b"of both of them"
    digest = FileHash(hashlib.sha256(content).hexdigest())
    for name in ("anna", "boris"):
        client = keyed_site.client(keyed_site.key(name))
        assert appended(client, begun(client, len(content)), 0, content).status_code == 204
    kept = keyed_site.keep(a_transcript(file_hash=digest), owner="anna")
    keyed_site.serving.archive.delete(kept)
    assert keyed_site.serving.recordings.find("anna", digest) is None
    assert keyed_site.serving.recordings.find("boris", digest) is not None
    keyed_site.serving.keeper.tidy()
    assert keyed_site.serving.recordings.find("boris", digest) is not None


def test_a_recording_that_nothing_came_of_goes_after_a_month(open_site: Site) -> None:
    content = b"never transcribed"
    answer = open_site.client().post("/api/jobs", files={"file": ("a.wav", content)})
    place = recordings(open_site) / "_" / hashlib.sha256(content).hexdigest()
    os.utime(place, (0, time.time() - 31 * 24 * 3600))
    open_site.serving.keeper.tidy()
    assert place.exists(), "its job is still to be done"
    open_site.client().post(f"/api/jobs/{answer.json()['id']}/cancel")
    open_site.serving.keeper.tidy()
    assert not place.exists()
    assert list(open_site.serving.recordings.settled_before(Timestamp(time.time()))) == []


def deleted_elsewhere(found: Site, recording: Recording) -> None:
    """The last transcript of it, by a process that does not see the folder of recordings."""
    kept = found.keep(a_transcript(file_hash=recording.file_hash))
    folder, away = recordings(found), recordings(found).with_name("away")
    folder.rename(away)
    found.serving.archive.delete(kept)
    away.rename(folder)
    assert recording.path.exists()


def test_a_recording_goes_soon_when_its_transcript_was_deleted_elsewhere(open_site: Site) -> None:
    _, recording = uploaded(open_site, b"deleted on another machine")
    _, other = uploaded(open_site, b"still to be transcribed")
    open_site.serving.keeper.tidy()
    deleted_elsewhere(open_site, recording)
    open_site.serving.keeper.tidy()
    assert not recording.path.exists()
    assert other.path.exists()


def test_a_recording_that_was_handed_in_again_after_that_stays(open_site: Site) -> None:
    content = b"deleted, and wanted after all"
    _, recording = uploaded(open_site, content)
    deleted_elsewhere(open_site, recording)
    uploaded(open_site, content)
    os.utime(recording.path.parent, (0, time.time() + 1.0))  # clocks of files are coarse
    open_site.serving.keeper.tidy()
    assert recording.path.exists()


def test_a_recording_stays_for_its_job_behind_a_thousand_newer_ones(open_site: Site) -> None:
    client = open_site.client()
    place, recording = uploaded(open_site, b"the first of very many")
    upload = place.rsplit("/", 1)[1]
    assert client.post("/api/jobs", json={"upload": upload}).status_code == 202
    with open_site.database.write():
        for number in range(1001):
            open_site.job(f"/nowhere/{number}.wav")
    assert client.delete(place, headers=TUS).status_code == 204
    assert recording.path.exists()


def test_a_recording_is_not_deleted_while_its_job_is_being_accepted(open_site: Site) -> None:
    place, recording = uploaded(open_site, b"wanted and dropped at the same moment")
    client = open_site.client()
    dropping = threading.Thread(target=client.delete, args=(place,), kwargs={"headers": TUS})
    with open_site.serving.recordings.held(recording):
        dropping.start()
        dropping.join(0.5)  # time enough to delete it, for whoever does not ask first
        open_site.job(recording.path)
    dropping.join()
    assert recording.path.exists()


def test_no_job_is_accepted_for_a_recording_that_was_just_deleted(open_site: Site) -> None:
    place, recording = uploaded(open_site, b"found, and then gone")
    serving = open_site.serving
    server = Server(serving=serving, watch=Watch(serving.queue), hands=open_site.bell)
    assert open_site.client().delete(place, headers=TUS).status_code == 204
    work = FileWork(path=str(recording.path), options=TranscriptionOptions())
    with pytest.raises(UnknownUpload, match="upload it again"):
        server.submit(work, recording, caller=Caller(), priority=JobPriority.HIGH)
    assert serving.queue.page(Wanted()) == ()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("talk.mp3", "talk.mp3"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\anna\\talk.wav", "talk.wav"),
        ("-rf", "rf"),
        ("...", "recording"),
        ("", "recording"),
        ("a\0b\r\n.wav", "ab.wav"),
        ("\u202egpj.exe", "gpj.exe"),
        ("<img src=x onerror=alert(1)>.mp3", "img src=x onerror=alert(1).mp3"),
        ("Доклад.ogg", "Доклад.ogg"),
        (".hidden.wav", "hidden.wav"),
    ],
)
def test_a_name_becomes_a_harmless_one(given: str, kept: str) -> None:
    assert safe_name(given) == kept


def test_a_long_name_is_cut_but_keeps_its_suffix() -> None:
    name = safe_name("ж" * 4000 + ".flac")
    assert name.endswith(".flac")
    assert len(name.encode()) <= 180
