"""Databases for every test that needs one: empty ones, and ones with the newest tables."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from stretto.contexts.database.model import ConnectionString
from tests.caches import RedisServer, redis_server
from tests.fakes.shelf import Shelf, shelf_open
from tests.library import engine, library
from tests.rabbitmq import PROGRAM, RabbitServer, rabbit_server
from tests.servers import Database, Server, copied, opened, postgres_server, upgraded

# How long an example takes says more about what else the machine does than about the program.
# The same examples every time: what must hold before a change lands may not depend on luck.
# `pytest --hypothesis-profile=explore` draws new ones.
hypothesis.settings.register_profile("stretto", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("stretto")


__all__ = ["engine", "library"]

Place = Path | ConnectionString
BROKERS = ("redis", "rabbitmq")
"""Fixtures with a server that has nothing in the queues of the fleet."""


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Not in the folder of pytest: each start of that closes it to other users, and the server is
    one when the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="stretto-postgres-") as name:
        Path(name).chmod(0o755)
        with postgres_server(Path(name) / "data") as server:
            yield server


@pytest.fixture(scope="session")
def postgres_template(server: Server) -> Iterator[str]:
    with server.database() as address:
        upgraded(address)
        yield address.database


@pytest.fixture
def postgres_url(server: Server) -> Iterator[str]:
    """The URL of an empty PostgreSQL database that is this test's alone."""
    with server.database() as address:
        yield address.url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sqlite")
    upgraded(folder)
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a database without tables is, once for each kind."""
    if request.param == "sqlite":
        home = tmp_path / "home"
        home.mkdir()
        yield home
        return
    server: Server = request.getfixturevalue("server")
    with server.database() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a database with the newest tables is, once for each kind."""
    if request.param == "sqlite":
        yield copied(request.getfixturevalue("sqlite_template"), tmp_path / "home")
        return
    server: Server = request.getfixturevalue("server")
    template: Any = request.getfixturevalue("postgres_template")
    with server.database(template=template) as address:
        yield address


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    database = opened(place)
    yield database
    database.close()


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """Where recordings lie that can be fetched."""
    with shelf_open() as server:
        yield server


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that only use it; each of them has keys of its own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def shared_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    if not PROGRAM.exists():
        pytest.skip("RabbitMQ is not installed: apt install rabbitmq-server")
    with rabbit_server(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
def rabbitmq(shared_rabbitmq: RabbitServer) -> RabbitServer:
    shared_rabbitmq.clear()
    return shared_rabbitmq


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    database = opened(copied(sqlite_template, tmp_path / "home"))
    yield database
    database.close()


@pytest.fixture
def postgresql_database(server: Server, postgres_template: str) -> Iterator[Database]:
    with server.database(template=postgres_template) as address:
        database = opened(address)
        yield database
        database.close()
