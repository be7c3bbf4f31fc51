"""Monitoring over HTTP: what was answered is counted by kind, and only administrators look."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse

from stretto.bootstrap.caching import build_caching
from stretto.contexts.core import log_context
from stretto.contexts.core.access import Scope
from stretto.contexts.core.bus import EventBus
from stretto.contexts.monitoring.definitions import ROUTES
from stretto.interfaces.http.app import ROUTERS
from stretto.interfaces.http.figures import PROMETHEUS, kind_of
from stretto.interfaces.http.gate import Gate
from stretto.interfaces.http.security import Doorkeeper
from tests.fakes.examples import a_recognition, a_recognition_request, a_transcript
from tests.serving import Site, site

SLOW = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
    SELECT count(*) FROM n
"""
PLACES = ("/metrics", "/api/metrics/dashboard", "/api/alerts")


def test_every_route_is_counted_as_a_kind_that_the_metrics_know() -> None:
    paths = [route.path for router in ROUTERS for route in router.routes]
    kinds = {kind_of(path) for path in [*paths, "/", "/js/app.js", "//", "/api/\x00", "*"]}
    assert kinds <= set(ROUTES)
    assert kinds >= {"openai", "jobs", "events", "transcripts", "audio", "metrics", "page"}


def test_answers_are_counted_and_told_to_prometheus(open_site: Site) -> None:
    client = open_site.client()
    client.get("/metrics").raise_for_status()  # from here on it is counted for sure
    for _ in range(3):
        client.get("/api/jobs").raise_for_status()
    assert client.get("/api/jobs/nonsense").status_code >= 400
    monitoring = open_site.serving.monitoring.start("serve")
    assert monitoring is not None
    monitoring.reporter.round()  # what happens every ten seconds
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == PROMETHEUS
    counted = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in answer.text.splitlines()
        if line.startswith("stretto_http_requests_total")
    }
    of_jobs = {key: n for key, n in counted.items() if 'route="jobs"' in key and n}
    assert {key.partition('status="')[2][:3]: n for key, n in of_jobs.items()} == {
        "2xx": 3.0,
        "4xx": 1.0,
    }


def test_a_server_counts_its_slow_statements(home: Path) -> None:
    with site(home, settings={"slow_query_ms": 10}) as there:
        monitoring = there.serving.monitoring.start("serve")
        assert monitoring is not None
        with there.database.read() as connection:
            connection.execute(SLOW).fetchone()
        assert monitoring.collector.reading().values["database.slow"] >= 1


def test_a_server_counts_the_answers_that_go_with_a_transcript(open_site: Site) -> None:
    monitoring = open_site.serving.monitoring.start("serve")
    assert monitoring is not None
    transcript = a_transcript()
    caching = build_caching(open_site.serving.settings, open_site.database, EventBus())
    request = replace(a_recognition_request(), source=transcript.file_hash)
    caching.cache.keep(request, a_recognition())
    kept = open_site.keep(transcript)
    open_site.client().delete(f"/api/transcripts/{kept}").raise_for_status()
    assert monitoring.collector.reading().values["cache.invalidated"] == 1


def test_the_charts_and_the_alerts_are_documents(open_site: Site) -> None:
    client = open_site.client()
    board = client.get("/api/metrics/dashboard", params={"span_s": 600}).json()
    assert [chart["id"] for row in board["rows"] for chart in row["charts"]]
    rules = {row["rule"]: row for row in client.get("/api/alerts").json()["alerts"]}
    assert {row["rule"] for row in board["alerts"]} == set(rules)
    assert {row["status"] for row in rules.values()} <= {"calm", "pending", "firing"}


def test_an_alert_is_silenced_for_a_while(open_site: Site) -> None:
    client = open_site.client()
    rule = client.get("/api/alerts").json()["alerts"][0]["rule"]
    assert client.post(f"/api/alerts/{rule}/silence", json={"seconds": 60}).status_code == 204
    silenced = {
        row["rule"] for row in client.get("/api/alerts").json()["alerts"] if row["silenced_until"]
    }
    assert silenced == {rule}
    assert client.post("/api/alerts/no-such/silence", json={"seconds": 60}).status_code == 404
    assert client.post(f"/api/alerts/{rule}/silence", json={"seconds": -1}).status_code == 422


@pytest.mark.parametrize("place", PLACES)
def test_nobody_else_may_look(place: str, keyed_site: Site) -> None:
    assert keyed_site.client().get(place).status_code == 401
    key = keyed_site.key("ann", Scope.READ, Scope.WRITE)
    assert keyed_site.client(key).get(place).status_code == 403
    admin = keyed_site.key("root", Scope.ADMIN)
    assert keyed_site.client(admin).get(place).status_code == 200


@pytest.mark.parametrize("span_s", ["59", "1e9", "nan", "-1", "x"])
def test_a_span_that_is_none_is_refused(span_s: str, open_site: Site) -> None:
    answer = open_site.client().get("/api/metrics/dashboard", params={"span_s": span_s})
    assert answer.status_code in {400, 422}


def test_log_lines_of_a_request_carry_the_id_that_its_answer_has(open_site: Site) -> None:
    seen: list[dict[str, str]] = []

    async def route(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(log_context.ids()))
        await PlainTextResponse("done")(scope, receive, send)

    serving = open_site.serving
    gate = Gate(route, serving=serving, keeper=Doorkeeper(serving))

    async def asked() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(app=gate)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.get("/") for _ in range(2)]

    ids = [answer.headers["x-request-id"] for answer in asyncio.run(asked())]
    assert len(set(ids)) == 2
    assert [one["request"] for one in seen] == ids
