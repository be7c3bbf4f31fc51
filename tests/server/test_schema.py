"""The API does what its own description says, whatever it is asked (schemathesis).

A short run here; `python -m benchmarks.server` makes a long one of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from tests.servers import copied
from tests.serving import site


@pytest.fixture(scope="module")
def address(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = copied(sqlite_template, tmp_path_factory.mktemp("schema") / "home")
    with site(home, settings={"serve_upload_mb": 1}) as found:
        yield found.url


@pytest.fixture(scope="module")
def api_schema(address: str) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{address}/api/openapi.json")


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_request_is_answered_as_described(case: schemathesis.Case) -> None:
    case.call_and_validate(timeout=20)
