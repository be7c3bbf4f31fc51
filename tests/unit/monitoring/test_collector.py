"""The collector: what is recorded is read, by many threads, after kill -9, and after a fork."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.monitoring.adapters.pages import FilePage, LeftPage, left_pages
from stretto.contexts.monitoring.collector import MetricsCollector, memory_page
from stretto.contexts.monitoring.sketch import P50

RECORD = """
import os, sys
from pathlib import Path
from stretto.contexts.monitoring.adapters.pages import FilePage
from stretto.contexts.monitoring.collector import MetricsCollector
collector = MetricsCollector(FilePage(Path(sys.argv[1]), role="worker"))
counter = collector.counter("processing.retries")
timer = collector.timer("gateway.latency")
collector.gauge("queue.running").set(3)
for _ in range(1000):
    counter.add()
    timer.record(0.2)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def collector() -> MetricsCollector:
    return MetricsCollector(memory_page())


def dying(folder: Path) -> subprocess.Popen[str]:
    """A process that has recorded, and lives."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", RECORD, str(folder)]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_what_is_recorded_is_read(collector: MetricsCollector) -> None:
    collector.counter("cache.lookups", level="L1").add(3)
    collector.gauge("queue.running").set(2)
    collector.timer("gateway.latency").record(0.5)
    reading = collector.reading()
    assert reading.values == {"cache.lookups{level=L1}": 3, "queue.running": 2}
    assert reading.sketches["gateway.latency"].percentile(P50) == pytest.approx(0.5, rel=0.01)


def test_a_gauge_of_0_was_recorded_and_one_that_was_never_set_was_not(
    collector: MetricsCollector,
) -> None:
    collector.gauge("queue.running").set(0)
    assert collector.reading().values == {"queue.running": 0}


def test_what_cannot_be_an_amount_is_not_recorded(collector: MetricsCollector) -> None:
    timer = collector.timer("gateway.latency")
    for value in (math.nan, -1.0, -math.inf):
        timer.record(value)
    assert not collector.reading().sketches
    for value in (0.0, math.ulp(0.0), math.inf):
        timer.record(value)
    assert collector.reading().sketches["gateway.latency"].count == 3


def test_a_label_value_that_nobody_knows_counts_as_other(collector: MetricsCollector) -> None:
    for number in range(1000):
        collector.counter("http.requests", route=f"/x/{number}", status="2xx").add()
    assert collector.reading().values == {"http.requests{route=other,status=2xx}": 1000}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("no.such", {}),
        ("queue.running", {}),  # it is a gauge
        ("cache.lookups", {}),
        ("cache.lookups", {"level": "L9"}),
        ("cache.lookups", {"level": "L1", "more": "x"}),
    ],
)
def test_what_is_not_in_the_table_is_refused(
    collector: MetricsCollector, name: str, labels: dict[str, str]
) -> None:
    with pytest.raises(InvalidOption):
        collector.counter(name, **labels)


def test_no_record_of_many_threads_is_lost(collector: MetricsCollector) -> None:
    counter, timer = (
        collector.counter("processing.retries"),
        collector.timer("queue.wait", priority="low"),
    )

    def work() -> None:
        for _ in range(5000):
            counter.add()
            timer.record(1.0)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reading = collector.reading()
    assert reading.values["processing.retries"] == 20_000
    assert reading.sketches["queue.wait{priority=low}"].count == 20_000


def test_what_a_killed_process_recorded_is_found_to_the_last_count(tmp_path: Path) -> None:
    process = dying(tmp_path)
    assert list(left_pages(tmp_path)) == []  # it lives
    end(process)
    (left,) = left_pages(tmp_path)
    assert (left.role, left.pid) == ("worker", process.pid)
    assert left.reading.values == {"processing.retries": 1000, "queue.running": 3}
    assert left.reading.sketches["gateway.latency"].count == 1000
    left.remove()
    assert list(left_pages(tmp_path)) == []


def test_while_somebody_looks_at_what_was_left_nobody_else_does(tmp_path: Path) -> None:
    end(dying(tmp_path))
    first = left_pages(tmp_path)
    assert isinstance(next(first), LeftPage)
    assert list(left_pages(tmp_path)) == []
    first.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign", "text", "huge"])
def test_what_is_no_page_is_deleted_and_harms_nobody(tmp_path: Path, damage: str) -> None:
    end(dying(tmp_path))
    (path,) = tmp_path.glob("*.page")
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "cut": whole[:-8],
            "foreign": b"x" * len(whole),
            "text": whole[:24] + b"{" * (len(whole) - 24),
            "huge": whole[:8] + b"\xff" * 16 + whole[24:],
        }[damage]
    )
    assert list(left_pages(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "a.page").symlink_to(secret)
    assert list(left_pages(folder)) == []
    assert secret.read_text() == "x"


def test_a_forked_child_counts_on_a_page_of_its_own(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from stretto.contexts.monitoring.adapters.pages import FilePage
from stretto.contexts.monitoring.collector import MetricsCollector
def child(parent):
    parent.left()
    return FilePage(Path(sys.argv[1]), role="other")
collector = MetricsCollector(FilePage(Path(sys.argv[1]), role="worker"), in_child=child)
counter = collector.counter("processing.retries")
counter.add(5)
pid = os.fork()
counter.add(7 if pid == 0 else 1)
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    found = {left.role: left.reading.values for left in left_pages(tmp_path)}
    assert found == {"worker": {"processing.retries": 6}, "other": {"processing.retries": 7}}


def test_without_room_on_the_disk_there_is_no_page_and_no_rest_of_one(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("not a folder")
    with pytest.raises(OSError, match="exists"):
        FilePage(folder, role="worker")
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208
