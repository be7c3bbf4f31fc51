"""Domain events and observers become numbers."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import pytest

from stretto.contexts.caching.model import CacheLevel
from stretto.contexts.core import events
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import AudioHash, ChunkId, JobId, Timestamp, TranscriptId
from stretto.contexts.core.transcript import TranscriptStatus
from stretto.contexts.monitoring.collector import MetricsCollector, memory_page
from stretto.contexts.monitoring.definitions import LEVELS, METRICS, PRIORITIES, size_of
from stretto.contexts.monitoring.feeding import WORKER_GONE, CacheFeed, EventFeed, GatewayFeed
from stretto.contexts.queue.model import EVERY_QUEUE
from stretto.contexts.queue.transitions import GONE
from tests.caches import CacheHouse
from tests.fakes.examples import a_recognition, a_recognition_request

AT = Timestamp(1_000_000.0)
NUMBERS = count()
FILE, JOB = TranscriptId.new(), JobId.new()
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"


@pytest.fixture
def collector() -> MetricsCollector:
    return MetricsCollector(memory_page())


def heard(collector: MetricsCollector, *those: DomainEvent) -> dict[str, float]:
    bus = EventBus()
    bus.subscribe(DomainEvent, EventFeed(collector).heard)
    for event in those:
        bus.publish(event)
    reading = collector.reading()
    counts = {key: sketch.count for key, sketch in reading.sketches.items()}
    return {**reading.values, **counts}


def a_chunk(*, from_cache: bool = False, fails: bool = False) -> list[DomainEvent]:
    chunk = ChunkId(next(NUMBERS), AudioHash("0" * 64))
    failure = events.ChunkProcessingFailed(at=AT, transcript_id=FILE, chunk_id=chunk, reason="x")
    return [
        events.ChunkProcessingStarted(
            at=AT, transcript_id=FILE, chunk_id=chunk, start_s=10.0, end_s=30.0
        ),
        *([failure] if fails else []),
        events.ChunkProcessingCompleted(
            at=AT,
            transcript_id=FILE,
            chunk_id=chunk,
            segments=(),
            duration_ms=500,
            from_cache=from_cache,
        ),
    ]


def test_a_computed_chunk_counts_with_its_audio_its_time_and_its_slowness(
    collector: MetricsCollector,
) -> None:
    found = heard(collector, *a_chunk())
    assert found["processing.chunks{outcome=computed}"] == 1
    assert (found["processing.audio"], found["processing.engine"]) == (20, 0.5)
    assert found["processing.chunks_in_flight"] == 0
    assert collector.reading().sketches["processing.slowness"].total == pytest.approx(0.025)


def test_a_known_chunk_is_no_work_and_a_failed_one_is_a_gap(collector: MetricsCollector) -> None:
    found = heard(collector, *a_chunk(from_cache=True), *a_chunk(fails=True))
    assert found["processing.chunks{outcome=known}"] == 1
    assert found["processing.chunks{outcome=failed}"] == 1
    assert found["processing.gaps"] == 1
    assert "processing.slowness" not in found


def test_a_chunk_whose_file_is_over_before_it_is_worked_on_no_more(
    collector: MetricsCollector,
) -> None:
    started, completed = a_chunk()
    assert isinstance(completed, events.ChunkProcessingCompleted)
    abandoned = events.ChunkProcessingAbandoned(
        at=AT, transcript_id=FILE, chunk_id=completed.chunk_id
    )
    found = heard(collector, started, abandoned)
    assert found["processing.chunks_in_flight"] == 0
    assert not [key for key in found if key.startswith("processing.chunks{")]


def test_a_file_counts_by_its_outcome_and_its_duration_by_its_size(
    collector: MetricsCollector,
) -> None:
    started = events.FileProcessingStarted(
        at=AT, transcript_id=FILE, file="a", claimed_duration_s=1000
    )
    done = events.FileProcessingCompleted(
        at=AT,
        transcript_id=FILE,
        status=TranscriptStatus.PARTIAL,
        total_chunks=1,
        total_duration_ms=7000,
    )
    found = heard(collector, started, done)
    assert found["processing.files{outcome=partial}"] == 1
    assert found["processing.duration{size=medium}"] == 1


def test_jobs_count_by_what_happens_to_them_and_their_wait_by_their_priority(
    collector: MetricsCollector,
) -> None:
    found = heard(
        collector,
        events.JobQueued(at=AT, job_id=JOB, file="a"),
        events.JobStarted(at=AT, job_id=JOB, worker="w", attempt=1, priority="low", waited_s=3.0),
        events.JobRetried(at=AT, job_id=JOB, attempt=1, delay_s=0, reason=GONE),
        events.JobFailed(at=AT, job_id=JOB, reason="x", cause="errors"),
    )
    assert found["queue.events{event=started}"] == 1
    assert found["queue.wait{priority=low}"] == 1
    assert found["queue.leases_lost"] == 1


def test_the_words_of_the_other_contexts_are_those_of_the_table() -> None:
    assert WORKER_GONE == GONE
    assert tuple(str(queue) for queue in EVERY_QUEUE) == PRIORITIES
    assert tuple(CacheLevel) == LEVELS


@pytest.mark.parametrize(
    ("seconds", "size"),
    [
        (None, "unknown"),
        (1, "short"),
        (300, "short"),
        (301, "medium"),
        (7200, "long"),
        (1e6, "huge"),
    ],
)
def test_recordings_have_a_size(seconds: float | None, size: str) -> None:
    assert size_of(seconds) == size


def test_a_cache_tells_where_answers_were_found(collector: MetricsCollector) -> None:
    house = CacheHouse(observer=CacheFeed(collector))
    request, answer = a_recognition_request(), a_recognition()
    house.cache.find(request)
    house.cache.keep(request, answer)
    house.cache.find(request)
    found = collector.reading().values
    assert found["cache.lookups{level=miss}"] == 1
    assert found["cache.lookups{level=L1}"] == 1
    assert found["cache.saved_bytes{level=L1}"] > 0


def test_a_gateway_tells_of_its_attempts(collector: MetricsCollector) -> None:
    feed = GatewayFeed(collector)
    feed.called("ok", 0.2)
    feed.called("not_made", 0.0)
    reading = collector.reading()
    assert reading.values == {"gateway.calls{outcome=ok}": 1, "gateway.calls{outcome=not_made}": 1}
    assert reading.sketches["gateway.latency"].count == 1


def test_every_metric_is_in_the_reference_as_it_is_in_the_table() -> None:
    rows = re.findall(r"^\| `([\w.]+)` (\|.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(one.name.value, row_of(one)) for one in METRICS]


def row_of(one: object) -> str:
    from stretto.contexts.monitoring.model import MetricDefinition
    from stretto.contexts.monitoring.prometheus import name_of

    assert isinstance(one, MetricDefinition)
    labels = "; ".join(f"`{label}`: {', '.join(values)}" for label, values in one.labels.items())
    return f"| {one.kind} | {one.unit} | {labels} | {one.help} | `{name_of(one)}` |"
