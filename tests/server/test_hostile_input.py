"""What strangers write into every field: SQL, headers, names, lengths. No answer is a bug of ours,
nothing is found or changed that should not be, and nothing comes back as a part of HTTP.

``make chaos`` tries more of each: STRETTO_CHAOS is how many times as much.
"""

from __future__ import annotations

import asyncio
import email.parser
import email.policy
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from stretto.contexts.core.access import Scope
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.processing.adapters.recording_files import LOCKS
from stretto.interfaces.formats import FORMATS
from stretto.interfaces.http.app import create_app, create_routes
from stretto.interfaces.http.security import Doorkeeper, flat
from stretto.interfaces.http.server import Server
from stretto.interfaces.http.watching import Watch
from tests.chaos.terms import SEED, TIMES
from tests.conftest import Place
from tests.fakes.examples import a_transcript
from tests.servers import Server as PostgresServer
from tests.serving import Bell, Site, finish, site

INJECTED = (
    "' OR '1'='1",
    '" OR ""="',
    "1) OR (1=1",
    "0 UNION SELECT sha256 FROM access_key",
    "'; DROP TABLE queue_job; --",
    "'; UPDATE queue_job SET owner='boris'; --",
    "1; SELECT pg_sleep(9)",
    "' AND 1=(SELECT count(*) FROM sqlite_master) --",
    "created_at; --",
    "(SELECT owner FROM queue_job LIMIT 1)",
    "%' ESCAPE '!",
    "zanzibar* OR anna",
    "NEAR(zanzibar marmalade, 5)",
    "text : zanzibar",
    "-zanzibar",
    '"zanzibar',
    "zanzibar & !boris",
    "zanzibar:*",
    "zanzibar <-> marmalade",
    ":owner",
    "%(owner)s",
    "$1",
    "?",
    "\\",
    "{owner}",
)
AROUND = ("{}", "x{}", "{}\x00", "1{}--", "\u02bc{}", "{}/**/", "%27{}", "\ufeff{}")
PAYLOADS = [around.format(text) for around, text in product(AROUND, INJECTED)]

NAMES = [
    *("../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "C:\\x.mp3", "file:///etc/passwd"),
    *(
        "talk\x00.mp3",
        "a\r\nset-cookie: a=b.mp3",
        "a\nX: y.mp3",
        "talk\u202e3pm.exe",
        "\ufeffa.mp3",
    ),
    *("-rf", "--help.mp3", ".", "..", "...", "", " ", "~", "$(id).mp3", "`id`.mp3", "a;id.mp3"),
    *("<img src=x onerror=alert(1)>.mp3", "</script><script>.mp3", '"><svg onload=x>.mp3'),
    *("=cmd|' /C calc'!A0.mp3", "\t=1+1.mp3", "+1.mp3", "@SUM(1).mp3", "-->.mp3", "a\n\nb.mp3"),
    *("con", "NUL.mp3", "aux.mp3", "a" * 4096, "\u00e9" * 2000 + ".mp3", "a." + "b" * 300),
    *(
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16") + ".mp3",
        "\u200b\u200b",
        "\ufeffa.mp3",
    ),
    *("a%00b.mp3", "a%0d%0ab.mp3", "%2e%2e%2fpasswd", "a'b.mp3", 'a"b.mp3', "a\\b.mp3", "a|b.mp3"),
]
SUFFIXED = ["", ".", ".wav", ".m3u8"]


@pytest.fixture
def both(place: Place, tmp_path: Path) -> Iterator[Site]:
    """A server on each of the databases."""
    home = place if isinstance(place, Path) else tmp_path / "home"
    settings = {} if isinstance(place, Path) else {"database_url": place.url}
    with site(home, key_needed=True, settings=settings) as found:
        yield found


def some(things: list[str], count: int) -> list[str]:
    """All of them in the long run, and a few by chance in the short one."""
    dice = random.Random(SEED)
    return things if TIMES >= 10 else dice.sample(things, count)


def parameters(found: Site) -> list[tuple[str, str]]:
    """Everything that can be written behind a question mark, by the server's own list."""
    server = Server(serving=found.serving, watch=Watch(found.serving.queue), hands=Bell())
    app = create_routes(server, Doorkeeper(found.serving))
    return [
        (route.path, one.alias)
        for route in flat(app.routes)
        for one in route.dependant.query_params
        if "GET" in route.methods
    ]


def rows(found: Site) -> dict[str, int]:
    counts = {}
    with found.database.read() as connection:
        for table in ("queue_job", "transcript", "access_key", "segment"):
            asked = f"SELECT count(*) FROM {table}"
            counts[table] = int(connection.execute(asked).fetchone()[0])
    return counts


def test_what_looks_like_sql_finds_nothing_and_changes_nothing(both: Site) -> None:
    job = both.job(owner="anna")
    finish(both, job, JobStatus.FAILED)
    kept = both.keep(replace(a_transcript("zanzibar quagga"), file="ferret.mp3"), owner="anna")
    client = both.client(both.key("boris", Scope.READ, Scope.WRITE))
    ids = {"job_id": str(job.id), "transcript_id": str(kept), "upload_id": str(job.id)}
    before, places = rows(both), parameters(both)
    assert {name for _, name in places} >= {"q", "after", "language", "status", "file_hash"}
    for payload in some(PAYLOADS, 20):
        for path, name in places:
            answer = client.get(path.format(**ids), params={name: payload})
            assert answer.status_code < 500, (path, name, payload, answer.text)
            assert "quagga" not in answer.text, (path, name, payload)
            assert "ferret" not in answer.text, (path, name, payload)
        for path in ("/api/jobs/{}", "/api/transcripts/{}", "/api/transcripts/{}/export", "/{}"):
            answer = client.get(path.format(quote(payload, safe="")))
            assert 400 <= answer.status_code < 500, (path, payload)
        secret = httpx2.Headers({"authorization": b"Bearer " + payload.encode()})
        if "\x00" not in payload:
            assert both.client().get("/api/jobs", headers=secret).status_code in {401, 429}
    assert rows(both) == before


@pytest.mark.parametrize("field", ["prompt", "language", "model", "response_format", "priority"])
def test_fields_of_a_form_are_checked_and_come_back_as_no_header(
    field: str, open_site: Site
) -> None:
    client = open_site.client()
    texts = ["en\r\nset-cookie: a=b", "en&model=other", "../../etc/passwd", "x" * 100_000, "\x00"]
    for text in [*texts, *some(PAYLOADS, 5)]:
        for path in ("/v1/audio/transcriptions", "/api/jobs"):
            data = {"model": "whisper-1", field: text}
            answer = client.post(path, data=data, files={"file": ("a.wav", b"RIFF")})
            assert "set-cookie" not in answer.headers
            assert answer.status_code < 500 or answer.json()["error"]["code"] == "unavailable"
            if path == "/v1/audio/transcriptions" or field != "response_format":
                short = field == "prompt" and len(text) <= 1024
                assert (answer.status_code == 202) <= short, (path, text[:40])


def test_whoever_changes_the_host_is_still_asked_for_a_key(keyed_site: Site) -> None:
    place = httpx2.URL(keyed_site.url)
    for host in ("x/admin?", "localhost/health?", "x#", "x\\@y", "a b", "", "[::1", "localhost:x"):
        for target in ("/api/jobs", "http://localhost/health/../api/jobs", "//api/jobs"):
            with socket.create_connection((place.host, place.port), timeout=10) as connection:
                head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode())
                said = b"".join(iter(lambda c=connection: c.recv(65536), b"")).decode()
            status = int(said.split()[1])
            assert 400 <= status < 500, (host, target, said)


def test_whatever_a_recording_is_called_it_lies_in_its_place(open_site: Site) -> None:
    client, names = open_site.client(), [name + end for name in NAMES for end in SUFFIXED]
    assert len(names) >= 120
    root = open_site.serving.settings.recordings_path
    for number, name in enumerate(some(names, 60)):
        content = b"RIFF" + number.to_bytes(4, "big")
        head = (
            b'--x\r\ncontent-disposition: form-data; name="file"; filename="'
            + name.encode("utf-8", "replace")
            .replace(b'"', b"%22")
            .replace(b"\r", b"%0D")
            .replace(b"\n", b"%0A")
            .replace(b"\\", b"\\\\")
            + b'"\r\n\r\n'
        )
        answer = client.post(
            "/api/jobs",
            content=head + content + b"\r\n--x--\r\n",
            headers={"content-type": "multipart/form-data; boundary=x"},
        )
        assert answer.status_code in {202, 400}, (name, answer.text)
    locks = root / LOCKS
    kept = [path for path in root.rglob("*") if path.is_file() and path.parent != locks]
    assert len(kept) > 30
    for path in kept:
        owner, digest, called = path.relative_to(root).parts
        assert (owner, len(digest)) == ("_", 64)
        assert called.isprintable()
        assert not called.startswith((".", "-", "~/")), called
        assert not set(called) & set('/\\:*?"<>|'), called
        assert len(called.encode()) <= 255
    assert not [path for path in root.parent.iterdir() if path.name in {"passwd", "boot.ini"}]


def test_whatever_a_recording_is_called_its_download_has_one_header(open_site: Site) -> None:
    client, names = open_site.client(), [name + end for name in NAMES for end in SUFFIXED]
    for name in some(names, 40):
        made = replace(a_transcript(), id=TranscriptId.new(), file=name or "x")
        kept = open_site.keep(made)
        for form in random.Random(name).sample(sorted(FORMATS), 2):
            answer = client.get(f"/api/transcripts/{kept}/export", params={"format": form})
            assert answer.status_code == 200, (name, answer.text)
            assert "set-cookie" not in answer.headers
            assert answer.headers["x-content-type-options"] == "nosniff"
            header = answer.headers["content-disposition"]
            parser = email.parser.HeaderParser(policy=email.policy.HTTP)
            parsed = parser.parsestr(f"content-disposition: {header}\n\n")["content-disposition"]
            assert parsed.content_disposition == "attachment"
            assert not set(parsed.params["filename"]) & set("/\\\r\n\x00")
        assert client.get("/api/transcripts").status_code == 200


def test_random_requests_make_no_new_series(open_site: Site) -> None:
    monitoring = open_site.serving.monitoring.start("serve")
    assert monitoring is not None
    server = Server(serving=open_site.serving, watch=Watch(open_site.serving.queue), hands=Bell())
    app, dice = create_app(server), random.Random(SEED)
    before = monitoring.service.exposition()

    async def one() -> int:
        letters = "".join(dice.choices("abz/019.-_%", k=dice.randint(0, 40)))
        begins = dice.choice(["/", "/api/", "/api/jobs/", "/v1/", "/metrics", "/api/alerts/"])
        scope: dict[str, Any] = {
            "type": "http",
            "method": dice.choice(["GET", "POST", "PUT", letters[:9].upper() or "X"]),
            "path": begins + letters,
            "raw_path": b"/",
            "root_path": "",
            "query_string": dice.randbytes(4).hex().encode(),
            "headers": [(b"host", b"localhost"), (b"user-agent", letters.encode())],
            "client": (f"203.0.113.{dice.randrange(256)}", 1),
            "http_version": "1.1",
            "scheme": "http",
            "server": ("localhost", 1),
        }
        statuses = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            statuses.append(message.get("status", 0))

        await app(scope, receive, send)
        return max(statuses)

    async def all_of_them() -> list[int]:
        return [await one() for _ in range(1_000 * TIMES)]

    statuses = asyncio.run(all_of_them())
    assert max(statuses) < 500
    monitoring.reporter.round()
    after = monitoring.service.exposition()

    def series(text: str) -> set[str]:
        return {line.rpartition(" ")[0] for line in text.splitlines() if line[:1] != "#"}

    assert len(series(after) - series(before)) <= 50
    assert len(after) <= 1_000_000


def test_five_connections_are_enough_for_two_hundred_at_once_and_for_those_who_hang_up(
    server: PostgresServer, postgres_template: str, tmp_path: Path
) -> None:
    with server.database(template=postgres_template) as address:
        sizes = {"database_pool_min": 0, "database_pool_max": 5, "database_pool_overflow": 0}
        settings = {"database_url": address.url, **sizes}
        with site(tmp_path / "home", settings=settings) as found:
            found.job()
            place = httpx2.URL(found.url)
            head = b"GET /api/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n"
            for _ in range(100 * min(TIMES, 5)):
                with socket.create_connection((place.host, place.port), timeout=10) as one:
                    one.sendall(head)

            client = found.client()
            client.timeout = 60

            def ask(_: int) -> int:
                return client.get("/api/jobs").status_code

            with ThreadPoolExecutor(50) as visitors:
                statuses = Counter(visitors.map(ask, range(200)))
            assert set(statuses) <= {200, 503}
            assert statuses[200] > 20
            pool: Any = found.database
            end = time.monotonic() + 30
            while pool.pool.metrics().in_use:
                assert time.monotonic() < end
                time.sleep(0.05)
            idle = (
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' "
                f"AND datname = '{address.database}'"
            )
            assert server.run(idle) == [(0,)]
