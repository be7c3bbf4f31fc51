"""The worker beside the server is there again, whatever ended it or kept it from starting."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from stretto.interfaces.http.hands import WorkerProcess

PATIENCE_S = 60.0


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_worker_that_the_system_would_not_start_is_started_when_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    environment = {**os.environ, "STRETTO_HOME": str(tmp_path), "MUCH": "x" * 1_000_000}
    with closing(WorkerProcess(1, environment=environment)) as hands:
        hands.start()
        until(lambda: "cannot be started" in caplog.text)
        assert hands.pid is None
        del environment["MUCH"]
        until(lambda: hands.pid is not None)
