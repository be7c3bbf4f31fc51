"""Servers without a worker, made anew for each test or once for those that only look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from tests.servers import copied
from tests.serving import Site, site


@pytest.fixture
def home(sqlite_template: Path, tmp_path: Path) -> Path:
    return copied(sqlite_template, tmp_path / "home")


@pytest.fixture
def open_site(home: Path) -> Iterator[Site]:
    """Anybody on this machine may do everything."""
    with site(home) as found:
        yield found


@pytest.fixture
def keyed_site(home: Path) -> Iterator[Site]:
    """Everybody needs a key."""
    with site(home, key_needed=True) as found:
        yield found
