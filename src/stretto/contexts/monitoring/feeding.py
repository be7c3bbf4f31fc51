"""Makes numbers of domain events: who publishes them need not know that somebody counts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, TypeVar

from stretto.contexts.core import events
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.monitoring.collector import Counter, MetricsCollector, Timer
from stretto.contexts.monitoring.definitions import BY_NAME, size_of

Instrument = TypeVar("Instrument", Counter, Timer)

MOST_REMEMBERED: Final = 10_000
"""Files and chunks that were begun; more at once there are not."""

WORKER_GONE: Final = "The worker that had the job is gone."
"""The reason of a retry when no error was at fault; the queue's own words."""

JOB_EVENTS: Final[dict[type[DomainEvent], str]] = {
    events.JobQueued: "queued",
    events.JobStarted: "started",
    events.JobRetried: "retried",
    events.JobHandedBack: "handed_back",
    events.JobCompleted: "completed",
    events.JobFailed: "failed",
    events.JobCancelled: "cancelled",
}


class EventFeed:
    """To be told of every event; those that say nothing in numbers are passed over."""

    def __init__(self, collector: MetricsCollector) -> None:
        self._files = _by(collector.counter, "processing.files", "outcome")
        self._durations = _by(collector.timer, "processing.duration", "size")
        self._chunks = _by(collector.counter, "processing.chunks", "outcome")
        self._chunk_durations = _by(collector.timer, "processing.chunk_duration", "outcome")
        self._jobs = _by(collector.counter, "queue.events", "event")
        self._waits = _by(collector.timer, "queue.wait", "priority")
        self._entries = _by(collector.counter, "cache.entries", "level")
        self._slowness = collector.timer("processing.slowness")
        self._audio_s = collector.counter("processing.audio")
        self._engine_s = collector.counter("processing.engine")
        self._in_flight = collector.gauge("processing.chunks_in_flight")
        self._retries = collector.counter("processing.retries")
        self._leases_lost = collector.counter("queue.leases_lost")
        self._gaps = collector.counter("processing.gaps")
        self._invalidated = collector.counter("cache.invalidated")
        self._begun: OrderedDict[object, float | None] = OrderedDict()
        self._failed: OrderedDict[object, float | None] = OrderedDict()
        self._lock = Lock()
        self._handlers: dict[type[DomainEvent], Callable[[Any], None]] = {
            events.FileProcessingStarted: self._file_started,
            events.FileProcessingCompleted: self._file_completed,
            events.FileProcessingFailed: lambda e: self._file_over(e, "failed"),
            events.FileProcessingCancelled: lambda e: self._file_over(e, "cancelled"),
            events.TranscriptRecalled: lambda _: self._files["recalled"].add(),
            events.ChunkProcessingStarted: self._chunk_started,
            events.ChunkProcessingRetried: lambda _: self._retries.add(),
            events.ChunkProcessingFailed: self._chunk_failed,
            events.ChunkProcessingCompleted: self._chunk_completed,
            events.ChunkProcessingAbandoned: self._chunk_abandoned,
            events.CacheEntryCreated: lambda e: self._entries[e.level].add(),
            events.CacheInvalidated: lambda e: self._invalidated.add(e.entries),
            events.JobStarted: self._job_started,
            events.JobRetried: self._job_retried,
            events.JobFailed: self._job_failed,
        }

    def heard(self, event: DomainEvent) -> None:
        kind = type(event)
        if kind in JOB_EVENTS:
            self._jobs[JOB_EVENTS[kind]].add()
        if kind in self._handlers:
            self._handlers[kind](event)

    def _file_started(self, event: events.FileProcessingStarted) -> None:
        self._remember(self._begun, event.transcript_id, event.claimed_duration_s)

    def _file_completed(self, event: events.FileProcessingCompleted) -> None:
        length_s = self._forget(self._begun, event.transcript_id)
        self._durations[size_of(length_s)].record(event.total_duration_ms / 1000)
        self._files[event.status.value].add()

    def _file_over(
        self, event: events.FileProcessingFailed | events.FileProcessingCancelled, outcome: str
    ) -> None:
        self._forget(self._begun, event.transcript_id)
        self._files[outcome].add()

    def _chunk_started(self, event: events.ChunkProcessingStarted) -> None:
        self._in_flight.add(1)
        chunk = (event.transcript_id, event.chunk_id)
        self._remember(self._begun, chunk, event.end_s - event.start_s)

    def _chunk_failed(self, event: events.ChunkProcessingFailed) -> None:
        self._gaps.add()
        self._remember(self._failed, (event.transcript_id, event.chunk_id), None)

    def _chunk_completed(self, event: events.ChunkProcessingCompleted) -> None:
        """Also the end of one that failed."""
        self._in_flight.add(-1)
        chunk = (event.transcript_id, event.chunk_id)
        audio_s, took_s = self._forget(self._begun, chunk), event.duration_ms / 1000
        with self._lock:
            failed = chunk in self._failed
            self._failed.pop(chunk, None)
        outcome = "failed" if failed else "known" if event.from_cache else "computed"
        self._chunks[outcome].add()
        if outcome in self._chunk_durations:
            self._chunk_durations[outcome].record(took_s)
        if outcome == "computed" and audio_s:
            self._audio_s.add(audio_s)
            self._engine_s.add(took_s)
            self._slowness.record(took_s / audio_s)

    def _chunk_abandoned(self, event: events.ChunkProcessingAbandoned) -> None:
        self._in_flight.add(-1)
        self._forget(self._begun, (event.transcript_id, event.chunk_id))

    def _job_started(self, event: events.JobStarted) -> None:
        if event.priority in self._waits:
            self._waits[event.priority].record(event.waited_s)

    def _job_retried(self, event: events.JobRetried) -> None:
        if event.reason == WORKER_GONE:
            self._leases_lost.add()

    def _job_failed(self, event: events.JobFailed) -> None:
        if event.cause == "crashes":
            self._leases_lost.add()

    def _remember(
        self, where: OrderedDict[object, float | None], what: object, value: float | None
    ) -> None:
        with self._lock:
            where[what] = value
            while len(where) > MOST_REMEMBERED:
                where.popitem(last=False)

    def _forget(self, where: OrderedDict[object, float | None], what: object) -> float | None:
        with self._lock:
            return where.pop(what, None)


class CacheFeed:
    """What a cache tells of its lookups and of trouble with its levels."""

    def __init__(self, collector: MetricsCollector) -> None:
        self._lookups = _by(collector.counter, "cache.lookups", "level")
        self._saved = _by(collector.counter, "cache.saved", "level")
        self._bytes = _by(collector.counter, "cache.saved_bytes", "level")
        self._trouble = _by(collector.counter, "cache.trouble", "level")

    def looked_up(self, level: str, size_bytes: int, speech_s: float) -> None:
        """``level`` empty means that nobody had it."""
        self._lookups[level or "miss"].add()
        if level:
            self._saved[level].add(speech_s)
            self._bytes[level].add(size_bytes)

    def troubled(self, level: str) -> None:
        self._trouble.get(level, self._trouble["other"]).add()


class GatewayFeed:
    """What a gateway tells of its attempts."""

    def __init__(self, collector: MetricsCollector) -> None:
        self._calls = _by(collector.counter, "gateway.calls", "outcome")
        self._latency = collector.timer("gateway.latency")
        self._retries = collector.counter("gateway.retries")

    def called(self, outcome: str, seconds: float) -> None:
        """``seconds`` until there was an answer; not asked of a call that was not made."""
        self._calls[outcome].add()
        if outcome != "not_made":
            self._latency.record(seconds)

    def retried(self) -> None:
        self._retries.add()


class HttpFeed:
    """What a server tells of its answers."""

    def __init__(self, collector: MetricsCollector) -> None:
        labels = BY_NAME["http.requests"].labels
        self._requests = {
            (route, status): collector.counter("http.requests", route=route, status=status)
            for route in labels["route"]
            for status in labels["status"]
        }
        self._latency = _by(collector.timer, "http.latency", "route")

    def answered(self, route: str, status: int, seconds: float) -> None:
        """``route`` is one of those in the table, and else counts as other: whatever paths clients
        think of, there is no new series."""
        known = route if route in self._latency else "other"
        kind = f"{status // 100}xx"
        self._requests.get((known, kind), self._requests[known, "other"]).add()
        self._latency[known].record(seconds)


def _by(make: Callable[..., Instrument], name: str, label: str) -> dict[str, Instrument]:
    """One for each value of the label."""
    return {value: make(name, **{label: value}) for value in BY_NAME[name].labels[label]}
