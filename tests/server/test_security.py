"""Who is let in: every route says so, keys lead to their owner's things alone, and no page of
somebody else acts through a browser."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from starlette.types import Receive, Send
from starlette.types import Scope as Scope_

from stretto.bootstrap.serving import build_serving, list_keys, revoke_key
from stretto.contexts.core.access import Scope
from stretto.contexts.core.job import JobStatus
from stretto.interfaces.http.app import create_routes
from stretto.interfaces.http.gate import Gate
from stretto.interfaces.http.security import (
    COOKIE,
    REMEMBERED_S,
    Doorkeeper,
    flat,
    policy_of,
    require_policies,
)
from stretto.interfaces.http.server import Server
from stretto.interfaces.http.watching import Watch
from stretto.settings import Settings
from tests.fakes.examples import a_transcript
from tests.serving import Bell, Site, finish, site

OPEN = {
    "/health",
    "/ready",
    "/api/session",
    "/api/openapi.json",
    "/api/uploads",
    "/",
    "/favicon.ico",
    "/{name:path}",
}


def routes(found: Site) -> list[tuple[str, str, Scope | None]]:
    server = Server(serving=found.serving, watch=Watch(found.serving.queue), hands=Bell())
    app = create_routes(server, Doorkeeper(found.serving))
    listed = []
    for route in flat(app.routes):
        policy = policy_of(route)
        assert policy is not None
        listed += [(method, route.path, policy.needed) for method in sorted(route.methods)]
    return listed


async def nothing(message: object = None) -> Any:
    """Neither sends nor receives."""


def test_a_route_of_which_nobody_said_who_may_use_it_is_no_route() -> None:
    router, app = APIRouter(), FastAPI(openapi_url=None)
    router.add_api_route("/secret", lambda: "told")
    app.include_router(router)
    with pytest.raises(RuntimeError, match="no policy"):
        require_policies(app.routes)


def test_without_a_key_only_what_is_meant_for_everybody_is_answered(keyed_site: Site) -> None:
    client = keyed_site.client()
    for method, path, needed in routes(keyed_site):
        place = path.replace("{name:path}", "x").replace("{", "").replace("}", "")
        answer = client.request(method, place)
        if needed is None:
            assert path in OPEN, path
            assert answer.status_code not in {401, 403}, (method, path)
        else:
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_without_the_scope_is_told_so(keyed_site: Site) -> None:
    client = keyed_site.client(keyed_site.key("anna", Scope.READ))
    assert client.get("/api/jobs").status_code == 200
    refused = client.post("/api/jobs", json={"file_hash": "0" * 64})
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
    assert client.get("/api/workers").status_code == 403


def test_what_belongs_to_somebody_else_is_not_there(keyed_site: Site) -> None:
    job = keyed_site.job(owner="anna")
    dead = keyed_site.job("/nowhere/other.wav", owner="anna")
    finish(keyed_site, dead, JobStatus.FAILED)
    kept = keyed_site.keep(a_transcript(), owner="anna")
    anna, boris = (keyed_site.client(keyed_site.key(name)) for name in ("anna", "boris"))
    ids = {"job_id": str(job.id), "transcript_id": str(kept)}
    things = [
        (method, path.format(**{**ids, "upload_id": "0", "name": "x"}))
        for method, path, needed in routes(keyed_site)
        if needed is not None and ("job_id" in path or "transcript_id" in path)
    ]
    assert len(things) > 10
    for method, place in things:
        body = {"segments": [{"index": 0, "text": "stolen"}]} if place.endswith("edits") else None
        answer = boris.request(method, place, json=body)
        assert answer.status_code == 404, (method, place)
    assert boris.get("/api/jobs").json()["jobs"] == []
    assert boris.get("/api/dlq").json()["jobs"] == []
    assert boris.get("/api/transcripts").json()["transcripts"] == []
    assert boris.get("/api/search?q=best").json()["hits"] == []
    assert len(anna.get("/api/jobs").json()["jobs"]) == 2
    assert len(anna.get("/api/transcripts").json()["transcripts"]) == 1
    assert anna.get(f"/api/jobs/{job.id}").json()["owner"] == "anna"


def test_an_operator_sees_what_everybody_has(keyed_site: Site) -> None:
    job = keyed_site.job(owner="anna")
    admin = keyed_site.client(keyed_site.key("root", Scope.ADMIN))
    assert [one["id"] for one in admin.get("/api/jobs").json()["jobs"]] == [str(job.id)]
    assert admin.get(f"/api/jobs/{job.id}").status_code == 200


def test_a_revoked_key_is_refused_within_seconds(keyed_site: Site) -> None:
    client = keyed_site.client(keyed_site.key("anna"))
    assert client.get("/api/jobs").status_code == 200
    (key,) = list_keys(keyed_site.serving.settings)
    revoke_key(keyed_site.serving.settings, str(key.id))
    end = time.monotonic() + REMEMBERED_S + 60
    while client.get("/api/jobs").status_code == 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert client.get("/api/jobs").status_code == 401


def test_the_database_has_no_key_that_could_be_used(keyed_site: Site) -> None:
    secret = keyed_site.key("anna")
    for path in Path(keyed_site.serving.settings.home).rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()


def test_guessing_keys_is_stopped_and_a_right_one_is_let_in_from_elsewhere(
    keyed_site: Site,
) -> None:
    good = keyed_site.client(keyed_site.key("anna"))
    assert good.get("/api/jobs").status_code == 200
    codes = [keyed_site.client(f"stretto_wrong{n}").get("/api/jobs").status_code for n in range(12)]
    assert codes == [401] * 10 + [429] * 2


def test_wrong_keys_keep_nobody_out_who_has_a_right_one(keyed_site: Site) -> None:
    """Behind a proxy everybody comes from the same address."""
    for number in range(12):
        keyed_site.client(f"stretto_wrong{number}").get("/api/jobs")
    new = keyed_site.client(keyed_site.key("anna"))
    assert new.get("/api/jobs").status_code == 200
    assert new.post("/api/session", json={"key": keyed_site.key("boris")}).status_code == 200


def test_a_revoked_key_hears_no_more(keyed_site: Site) -> None:
    client = keyed_site.client(keyed_site.key("anna"))
    (key,) = list_keys(keyed_site.serving.settings)
    with client.stream("GET", "/api/events") as answer:
        heard = answer.iter_lines()
        keyed_site.job("/nowhere/before.wav", owner="anna")
        while "JobQueued" not in next(heard):
            pass
        revoke_key(keyed_site.serving.settings, str(key.id))
        time.sleep(REMEMBERED_S)  # so long it may be known here
        keyed_site.job("/nowhere/after.wav", owner="anna")
        assert "after.wav" not in "".join(heard)


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-real-ip", "via", "forwarded"])
def test_whoever_comes_through_a_proxy_is_not_taken_for_the_user_of_the_machine(
    open_site: Site, header: str
) -> None:
    client = open_site.client(**{header: "203.0.113.7"})
    refused = client.get("/api/jobs")
    assert refused.status_code == 401
    assert f"came through a proxy (it has {header.title()})" in refused.json()["error"]["message"]
    assert client.get("/health").status_code == 200
    assert client.get("/api/session").json()["key_required"] is True
    key = open_site.key("anna")
    assert client.get("/api/jobs", headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert open_site.client().get("/api/session").json()["key_required"] is False


def test_a_server_that_has_a_name_asks_for_keys(home: Path) -> None:
    """A name of its own is one by which others reach it, through a proxy on the same machine."""
    for names, needed in (("", False), ("stretto.example.org", True)):
        with closing(build_serving(Settings(home=home, serve_names=names))) as built:
            assert built.key_needed is needed


def test_no_cookie_is_taken_apart(keyed_site: Site) -> None:
    """Python's own way to do that takes a time that grows with the square (CVE-2024-7592)."""
    seen = []

    async def application(scope: Scope_, receive: Receive, send: Send) -> None:
        seen.append((scope["state"]["caller"].owner, dict(scope["headers"])))

    gate = Gate(application, serving=keyed_site.serving, keeper=Doorkeeper(keyed_site.serving))
    cookie = f"{COOKIE}={keyed_site.key('anna')}; a=b".encode()
    asked: Scope_ = {"type": "http", "method": "GET", "path": "/health"}
    asked["headers"] = [(b"host", b"localhost"), (b"cookie", cookie)]
    asyncio.run(gate(asked, nothing, nothing))
    assert seen == [("anna", {b"host": b"localhost"})]


def test_a_key_that_asks_too_often_waits(home: Path) -> None:
    with site(home, key_needed=True, settings={"serve_requests_per_minute": 5}) as found:
        client, other = (found.client(found.key(name)) for name in ("anna", "boris"))
        codes = [client.get("/api/jobs").status_code for _ in range(6)]
        assert codes == [200] * 5 + [429]
        assert 1 <= int(client.get("/api/jobs").headers["retry-after"]) <= 12
        assert other.get("/api/jobs").status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_changes_nothing(open_site: Site, origin: str) -> None:
    job = open_site.job()
    answer = open_site.client(origin=origin).post(f"/api/jobs/{job.id}/cancel")
    assert answer.status_code == 403
    same = open_site.client(origin=open_site.url).post(f"/api/jobs/{job.id}/cancel")
    assert same.json()["status"] == "cancelled"
    assert "access-control-allow-origin" not in same.headers


def test_a_name_that_somebody_else_gave_the_address_is_not_answered_to(open_site: Site) -> None:
    answer = open_site.client(host="rebound.evil.example").get("/api/jobs")
    assert answer.status_code == 421


def test_a_browser_keeps_the_key_where_no_script_reads_it(keyed_site: Site) -> None:
    client = keyed_site.client()
    assert client.get("/api/session").json()["authenticated"] is False
    opened = client.post("/api/session", json={"key": keyed_site.key("anna")})
    assert opened.json()["owner"] == "anna"
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    origin = keyed_site.url.replace("http://", "https://")  # a proxy with TLS in front of it
    safe = client.post(
        "/api/session", json={"key": keyed_site.key("anna")}, headers={"origin": origin}
    )
    assert "; secure" in safe.headers["set-cookie"].lower()
    assert client.post("/api/session", json={"key": keyed_site.key("anna")}).status_code == 200
    assert client.get("/api/jobs").status_code == 200
    client.delete("/api/session")
    assert client.get("/api/jobs").status_code == 401
    assert client.post("/api/session", json={"key": "wrong"}).status_code == 401


def test_every_answer_forbids_what_no_page_of_ours_needs(open_site: Site) -> None:
    for place in ("/", "/api/jobs", "/nothing", "/v1/models"):
        headers = open_site.client().get(place).headers
        assert "'unsafe-inline'" not in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert len(headers["x-request-id"]) == 32


def test_two_requests_with_one_idempotency_key_of_two_owners_are_two(keyed_site: Site) -> None:
    made = []
    for name in ("anna", "boris"):
        client = keyed_site.client(keyed_site.key(name), **{"idempotency-key": "mine"})
        for _ in range(2):
            answer = client.post("/api/jobs", files={"file": ("talk.wav", b"RIFF")})
            assert answer.status_code == 202
            made.append(answer.json()["id"])
    assert made[0] == made[1] != made[2] == made[3]


def test_a_connection_without_a_request_does_not_stop_others(open_site: Site) -> None:
    place = httpx2.URL(open_site.url)
    with socket.create_connection((place.host, place.port)) as slow:
        slow.sendall(b"GET /api/jobs HTTP/1.1\r\nHost:")
        assert open_site.client().get("/health").status_code == 200
