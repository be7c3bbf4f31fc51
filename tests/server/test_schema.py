"""The API does what its own description says, whatever it is asked (schemathesis).

A short run here; `python -m benchmarks.server` makes a long one of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.servers import copied
from tests.serving import site

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

SHORT = settings(
    max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def address(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = copied(sqlite_template, tmp_path_factory.mktemp("schema") / "home")
    with site(home, settings={"serve_upload_mb": 1}, resolve=lambda *_: []) as found:
        yield found.url


def test_every_document_is_described(address: str) -> None:
    described = httpx2.get(f"{address}/api/openapi.json").json()
    vague = {
        f"{method} {path}"
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        for status, answer in operation["responses"].items()
        for kind, content in answer.get("content", {}).items()
        if kind == "application/json" and status.startswith("2")
        if content["schema"] == {}
    }
    assert vague == set()
    metrics = described["paths"]["/metrics"]["get"]["responses"]
    assert set(metrics["200"]["content"]) == {"text/plain"}
    assert set(metrics["403"]["content"]) == {"application/json"}


def free(case: schemathesis.Case, status: int) -> list[Any]:
    """How much is too much is a setting, and what lies at an address is the matter of others: no
    part of the description."""
    fetched = isinstance(case.body, dict) and "url" in case.body
    return [positive_data_acceptance] if status == 413 or fetched else []


def test_every_request_is_answered_as_described(address: str) -> None:
    described = schemathesis.openapi.from_url(f"{address}/api/openapi.json")
    found: list[str] = []
    for result in described.get_all_operations():
        operation = result.ok()
        if operation.path.startswith("/v1/audio"):  # without a worker that is a 503
            continue
        if operation.path == "/api/events":  # an answer without an end
            continue

        def asked(case: schemathesis.Case) -> None:
            try:
                answer = case.call(timeout=20)
                case.validate_response(answer, excluded_checks=free(case, answer.status_code))
            except BaseExceptionGroup as problems:
                found.extend(f"{case.method} {case.path}: {one}" for one in problems.exceptions)

        SHORT(given(case=operation.as_strategy())(asked))()
    assert found == []
