"""Servers without a worker, made anew for each test or once for those that only look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from tests.servers import Server, copied
from tests.serving import Site, site


@pytest.fixture
def home(sqlite_template: Path, tmp_path: Path) -> Path:
    return copied(sqlite_template, tmp_path / "home")


@pytest.fixture
def kind() -> str:
    """Of the database; a file whose tests are for both says so itself."""
    return "sqlite"


@pytest.fixture
def stored(kind: str, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The settings that say where the database is."""
    if kind == "sqlite":
        yield {}
        return
    server: Server = request.getfixturevalue("server")
    with server.database(template=request.getfixturevalue("postgres_template")) as address:
        yield {"database_url": address.url}


@pytest.fixture
def open_site(home: Path, stored: dict[str, str]) -> Iterator[Site]:
    """Anybody on this machine may do everything."""
    with site(home, settings=stored) as found:
        yield found


@pytest.fixture
def keyed_site(home: Path, stored: dict[str, str]) -> Iterator[Site]:
    """Everybody needs a key."""
    with site(home, key_needed=True, settings=stored) as found:
        yield found
