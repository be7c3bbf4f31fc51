"""Things go wrong for real, and the rules that come with Stretto tell of it within a minute.

The servers, the faults and the program are real; only the clock of monitoring is the test's.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap import build
from stretto.bootstrap.caching import build_caching
from stretto.bootstrap.monitoring import Monitoring, build_monitoring, build_service
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.events import AlertTriggered, DomainEvent
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.sketch import P99
from stretto.settings import Settings
from tests.caches import redis_server
from tests.e2e.conftest import Known
from tests.e2e.program import stretto
from tests.fakes.backend import backend
from tests.fakes.backend_script import Reply, refused
from tests.fakes.clock import FakeClock
from tests.fakes.examples import a_recognition, a_recognition_request
from tests.integration.test_gateway import Desk, desk
from tests.servers import copied, opened

__all__ = ["backend", "desk"]

SOON_S = 60.0
"""After so long by the clock of monitoring somebody has to know."""


class Operator:
    """Watches a process, and goes through time in steps of ten seconds."""

    def __init__(self, settings: Settings, **given: Any) -> None:
        self.clock = FakeClock(float(int(time.time()) // 600 * 600))
        self.events: list[DomainEvent] = []
        self.bus = EventBus()
        self.bus.subscribe(AlertTriggered, self.events.append)
        self.monitoring: Monitoring = build_monitoring(
            settings, opened(settings.home), self.bus, role="command", clock=self.clock, **given
        )

    def step(self) -> None:
        self.clock.advance(10)
        self.monitoring.reporter.round()

    def hears_of(self, rule: str) -> float:
        """After how many seconds."""
        began = self.clock().unix_s
        while not [
            e for e in self.events if isinstance(e, AlertTriggered) and e.alert_rule_id == rule
        ]:
            self.step()
            assert self.clock().unix_s - began <= SOON_S, rule
        return self.clock().unix_s - began

    def firing(self) -> set[str]:
        return {a["rule"] for a in self.monitoring.service.alerts() if a["status"] == "firing"}


@pytest.fixture
def home(sqlite_template: Path, tmp_path: Path) -> Path:
    return copied(sqlite_template, tmp_path / "home")


@pytest.fixture
def operator(home: Path) -> Iterator[Operator]:
    operator = Operator(Settings(home=home))
    yield operator
    operator.monitoring.close()


def observed(one: Desk, operator: Operator) -> Desk:
    gateway = replace(one.service.gateway, observer=operator.monitoring.gateway)
    one.service = replace(one.service, gateway=gateway)
    return one


def test_a_service_that_becomes_slow_is_told(desk: Any, operator: Operator) -> None:
    takes_s = 0.0
    one = observed(desk(lambda _: Reply(takes_s=takes_s)), operator)
    for number in range(12):
        one.ask(number)
    for _ in range(130):  # what is usual is told by frames of ten minutes
        operator.step()
    assert operator.firing() == set()
    usual_s = operator.monitoring.collector.reading().sketches["gateway.latency"].percentile(P99)
    assert usual_s is not None
    takes_s = max(0.3, 3 * usual_s)  # however busy this machine is
    for number in range(12, 24):
        one.ask(number)
    assert operator.hears_of("service-slow") <= SOON_S


def test_a_service_that_is_down_is_told(desk: Any, home: Path) -> None:
    one: Desk = desk(lambda _: refused(503, "down"))
    operator = Operator(Settings(home=home), breakers_open=lambda: int(one.breaker.open))
    observed(one, operator)
    operator.step()
    for number in range(4):
        with pytest.raises(StrettoError):
            one.ask(number)
    operator.hears_of("service-down")
    calls = operator.monitoring.collector.reading().values
    assert calls["gateway.calls{outcome=failed}"] >= 5
    operator.monitoring.close()


def test_a_redis_that_is_down_is_told_and_so_is_that_it_is_back(
    home: Path, tmp_path: Path, operator: Operator
) -> None:
    request = a_recognition_request()
    with redis_server(tmp_path / "redis") as server:
        settings = Settings(home=home, redis_url=server.url)
        caching = build_caching(
            settings, opened(home), EventBus(), observer=operator.monitoring.cache
        )
        caching.cache.keep(request, a_recognition())
        deadline = time.monotonic() + 20
        while not server.run("KEYS", "*") and time.monotonic() < deadline:
            caching.cache.keep(request, a_recognition())
        operator.step()
        for _ in range(7):
            operator.step()
        assert operator.firing() == set()
        server.stop()
        caching.cache.keep(a_recognition_request("another"), a_recognition())
        operator.hears_of("cache-level-down")
        for _ in range(8):
            operator.step()
        assert operator.firing() == set()
        caching.management.close()


def test_a_job_that_poisons_whoever_works_on_it_is_told_by_a_webhook_once(
    home: Path, tmp_path: Path
) -> None:
    posts: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    poison = tmp_path / "poison.wav"
    poison.write_bytes(b"RIFF" + b"\xff" * 64)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        settings = Settings(home=home, alert_webhook_url=url)
        with build(settings) as application:
            job = application.submit(poison)
            with pytest.raises(StrettoError):
                application.result(job, timeout_s=60)
            operators = [Operator(settings) for _ in range(3)]
            for _ in range(6):
                for one in operators:
                    one.clock.unix_s = operators[0].clock.unix_s
                for one in operators:
                    one.step()
            application.monitoring.start("serve")
            deadline = time.monotonic() + SOON_S
            while not posts and time.monotonic() < deadline:
                time.sleep(0.05)
        server.shutdown()
    assert [[a["rule"] for a in post["alerts"]] for post in posts] == [["dead-letters"]]
    assert len([event for one in operators for event in one.events]) == 1
    for one in operators:
        one.monitoring.close()


def test_a_timestamp_of_an_incident_is_that_of_the_frame(operator: Operator) -> None:
    operator.monitoring.collector.counter("processing.chunks", outcome="failed").add(9)
    operator.hears_of("errors")
    (event,) = operator.events
    assert isinstance(event, AlertTriggered)
    assert event.at == Timestamp(operator.clock().unix_s)


def test_a_recording_that_was_transcribed_is_measured_and_its_words_are_in_no_line_of_the_log(
    known: Known, tmp_path: Path
) -> None:
    done = stretto("transcribe", "--debug", "--format", "txt", known.recording, home=tmp_path / "h")
    assert done.code == 0, done.err
    words = [word for word in done.out.split() if len(word) > 6]
    assert words
    assert not [line for line in done.messages for word in words if word in line]
    service = build_service(Settings(home=tmp_path / "h"), opened(tmp_path / "h"))
    values = service.reading().values
    assert values["processing.files{outcome=complete}"] == 1
    assert values["processing.chunks{outcome=computed}"] >= 1
    assert values["processing.audio"] == pytest.approx(44, abs=2)
    assert list((tmp_path / "h" / "metrics").iterdir()) == []
