"""What tests of breaking share: places and servers of their own, and the score card after the last
of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.caches import RedisServer, redis_server
from tests.chaos import score
from tests.chaos.celery_fleet import Broker
from tests.conftest import BROKERS
from tests.servers import copied


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that may be stopped, and belongs to the test alone."""
    with redis_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Broker:
    found: Broker = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def home(sqlite_template: Path, tmp_path: Path) -> Path:
    """A folder with an SQLite file that has the newest tables."""
    return copied(sqlite_template, tmp_path / "home")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One of the processes that share the tests has ended."""
    score.taken(getattr(node, "workeroutput", {}).get("score", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["score"] = score.given()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = score.card()
    if lines:
        terminalreporter.section("score card")
        for line in lines:
            terminalreporter.write_line(line)
