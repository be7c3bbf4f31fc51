"""Things go wrong for real, and the rules that come with Stretto tell of it within a minute.

The servers, the faults and the program are real; only the clock of monitoring is the test's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap.caching import build_caching
from stretto.bootstrap.monitoring import build_service
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.events import AlertTriggered
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.sketch import P99
from stretto.settings import Settings
from tests.caches import redis_server
from tests.e2e.conftest import Known
from tests.e2e.operators import Operator
from tests.e2e.program import stretto
from tests.fakes.backend import backend
from tests.fakes.backend_script import Reply, refused
from tests.fakes.examples import a_recognition, a_recognition_request
from tests.integration.test_gateway import Desk, desk
from tests.servers import copied, opened

__all__ = ["backend", "desk"]


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
    operator.hears_of("service-slow")
    operator.hears_the_end_of("service-slow", within_s=400)  # it looks at five minutes


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
        for number in range(6):
            caching.cache.keep(a_recognition_request(f"another {number}"), a_recognition())
            operator.step()
        assert operator.incidents("cache-level-down") == 1
        server.start()
        deadline = time.monotonic() + 60
        while not server.run("KEYS", "*") and time.monotonic() < deadline:
            caching.cache.keep(request, a_recognition())
            time.sleep(0.05)
        operator.hears_the_end_of("cache-level-down", within_s=320)
        caching.management.close()


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
