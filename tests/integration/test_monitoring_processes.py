"""Many processes, killed at random: what they counted is right over all of them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap.monitoring import Monitoring, build_monitoring, build_service
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import Timestamp
from stretto.settings import Settings
from tests.counting import COUNTED, CountingCrew, counted_over_all
from tests.servers import copied, opened

KILLS = 6


@pytest.fixture
def settings(sqlite_template: Path, tmp_path: Path) -> Settings:
    return Settings(home=copied(sqlite_template, tmp_path / "home"))


class Hour:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = float(int(time.time()) // 10 * 10)

    def __call__(self) -> Timestamp:
        return Timestamp(self.at)


def watched(settings: Settings, clock: Hour, **given: Any) -> Monitoring:
    """A process that reports when it is told to."""
    database = opened(settings.home)
    return build_monitoring(
        settings, database, EventBus(), clock=clock, **{"role": "command", **given}
    )


def test_four_workers_killed_at_random_have_counted_what_the_ledger_says(
    settings: Settings,
) -> None:
    with CountingCrew(settings.home) as crew:
        crew.kill_at_random(KILLS, random.Random(3), within_s=0.2)
    reading = counted_over_all(settings)
    assert crew.written <= reading.values[COUNTED] <= crew.written + crew.kills
    assert reading.values["process.lost{role=worker}"] == crew.kills
    assert "process.up{role=worker}" not in reading.values  # nothing lingers


def test_the_sum_over_processes_is_right_and_each_of_them_says_the_same(
    settings: Settings,
) -> None:
    clock = Hour()
    processes = [watched(settings, clock, role="command") for _ in range(3)]
    for number, one in enumerate(processes, start=1):
        one.collector.counter("processing.retries").add(number)
        one.collector.timer("gateway.latency").record(number)
        one.reporter.round()
    texts = {one.service.exposition() for one in processes}
    assert len(texts) == 1
    (text,) = texts
    assert "stretto_processing_retries_total 6\n" in text
    assert "stretto_gateway_latency_seconds_count 3\n" in text
    for one in processes:
        one.close()


def test_a_counter_never_falls_when_a_process_ends(settings: Settings) -> None:
    clock = Hour()
    first, second = watched(settings, clock), watched(settings, clock)
    first.collector.counter("processing.retries").add(5)
    first.reporter.round()
    seen = []
    for step in ("before", "closed", "a tick later"):
        if step == "closed":
            first.close()
        clock.at += 10
        second.reporter.round()
        seen.append(second.service.reading().values["processing.retries"])
    assert seen == [5, 5, 5]
    assert not list((settings.home / "metrics").glob(f"{first.collector.page.id}*"))
    second.close()


def test_without_a_place_for_its_page_a_process_counts_in_its_memory(settings: Settings) -> None:
    (settings.home / "metrics").write_text("in the way")
    one = watched(settings, Hour())
    one.collector.counter("processing.retries").add(5)
    one.reporter.round()
    assert one.service.reading().values["processing.retries"] == 5
    one.close()


@pytest.fixture
def worker(settings: Settings) -> Iterator[Monitoring]:
    one = watched(Settings(home=settings.home, metrics_port=19_464), Hour(), role="worker")
    yield one
    one.close()


def fetched(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_worker_answers_prometheus_and_nobody_else(worker: Monitoring) -> None:
    assert worker.exporter is not None
    status, text = fetched(worker.exporter.port, "/metrics")
    assert status == 200
    assert "# TYPE stretto_queue_depth gauge" in text
    assert fetched(worker.exporter.port, "/")[0] == 404


def test_two_workers_of_a_machine_may_have_the_same_port_set(
    worker: Monitoring, settings: Settings
) -> None:
    other = watched(Settings(home=settings.home, metrics_port=19_464), Hour(), role="worker")
    assert worker.exporter is not None
    assert other.exporter is not None
    assert other.exporter.port != worker.exporter.port
    other.close()


def test_with_metrics_off_there_is_nothing(settings: Settings) -> None:
    from stretto.bootstrap import build

    with build(Settings(home=settings.home, metrics=False)) as application:
        assert application.monitoring.start("worker") is None
    assert not (settings.home / "metrics").exists()


def test_a_program_with_wrong_alert_rules_says_so_at_once(settings: Settings) -> None:
    from stretto.contexts.core.errors import InvalidOption

    wrong = Settings(home=settings.home, alert_rules=str(settings.home / "none.toml"))
    with pytest.raises(InvalidOption, match=r"none\.toml"):
        build_service(wrong, opened(settings.home))


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "STRETTO_HOME": str(home)}
    command = [sys.executable, "-m", "stretto", *arguments]
    return subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=60
    )


def test_the_commands_show_what_was_measured(settings: Settings) -> None:
    clock = Hour()
    one = watched(settings, clock)
    one.collector.counter("processing.retries").add(5)
    one.reporter.round()
    one.close()
    answer = run(
        settings.home, "monitoring", "series", "processing.retries", "--minutes", "5", "--json"
    )
    document = json.loads(answer.stdout)
    assert sum(v or 0 for v in document["lines"][0]["values"]) == 5
    alerts = json.loads(run(settings.home, "monitoring", "alerts", "--all", "--json").stdout)
    assert {row["rule"] for row in alerts["alerts"]} >= {"dead-letters", "errors"}
    top = run(settings.home, "top")
    assert top.returncode == 0
    assert "queue.workers" in top.stdout
    assert run(settings.home, "monitoring", "export", "nonsense").returncode == 2
    assert run(settings.home, "monitoring", "series", "no.such").returncode == 2


def test_a_worker_reports_by_itself_and_leaves_with_a_word(settings: Settings) -> None:
    environment = {**os.environ, "STRETTO_HOME": str(settings.home)}
    command = [sys.executable, "-m", "stretto", "worker"]
    looking = build_service(settings, opened(settings.home))
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while looking.reading().values.get("process.up{role=worker}") != 1:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        finally:
            process.kill()
    reading = looking.reading()
    assert "process.up{role=worker}" not in reading.values
    assert "process.lost{role=worker}" not in reading.values
    assert list((settings.home / "metrics").iterdir()) == []
