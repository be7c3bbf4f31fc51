"""The table of everything that is measured. Adding a metric is adding a line here; who records it,
where it is kept, its chart, its line for Prometheus and its row in the reference follow from it."""

from __future__ import annotations

from typing import Final

from stretto.contexts.monitoring.model import (
    OTHER,
    Across,
    MetricDefinition,
    MetricKind,
    MetricName,
)

SIZES: Final = ("short", "medium", "long", "huge", "unknown")
"""Of recordings: up to 5 minutes, up to 30, up to 2 hours, more; and without a word about it."""

PRIORITIES: Final = ("high", "medium", "low")
LEVELS: Final = ("L1", "L2", "L3")
PROCESSES: Final = ("worker", "serve", "command", OTHER)
ROUTES: Final = (
    *("openai", "jobs", "transcripts", "uploads", "events", "audio", "search", "queue"),
    *("cache", "metrics", "health", "page", OTHER),
)
STATUSES: Final = ("2xx", "3xx", "4xx", "5xx", OTHER)
CALLS: Final = ("ok", "too_many", "refused", "failed", "not_made")


def _metric(
    name: str,
    kind: MetricKind,
    unit: str,
    about: str,
    *,
    across: Across = Across.SUM,
    **labels: tuple[str, ...],
) -> MetricDefinition:
    return MetricDefinition(
        name=MetricName(name), kind=kind, unit=unit, help=about, labels=labels, across=across
    )


_C, _G, _T = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.TIMER
_MOST, _LEAST = Across.HIGHEST, Across.LOWEST

METRICS: Final[tuple[MetricDefinition, ...]] = (
    # -- processing
    _metric("processing.files", _C, "files", "Files that were begun and are over.",
            outcome=("complete", "partial", "failed", "cancelled", "recalled")),
    _metric("processing.duration", _T, "seconds", "How long a file took that had to be computed.",
            size=SIZES),
    _metric("processing.audio", _C, "seconds", "Audio of the chunks that were computed."),
    _metric("processing.engine", _C, "seconds", "Time that chunks were computed."),
    _metric("processing.slowness", _T, "ratio",
            "Seconds of computing for a second of audio, chunk by chunk: 1 over real-time factor."),
    _metric("processing.chunks", _C, "chunks", "Chunks that are over.",
            outcome=("computed", "known", "failed")),
    _metric("processing.chunk_duration", _T, "seconds", "How long a chunk took.",
            outcome=("computed", "known")),
    _metric("processing.chunks_in_flight", _G, "chunks", "Chunks that are worked on just now."),
    _metric("processing.retries", _C, "tries", "Chunks that were tried again."),
    _metric("processing.gaps", _C, "chunks",
            "Chunks that an engine gave up on: a gap, or tried again with the job."),
    # -- caching
    _metric("cache.lookups", _C, "lookups", "Where answers were found; miss is nowhere.",
            level=(*LEVELS, "miss")),
    _metric("cache.saved", _C, "seconds", "Speech that did not have to be recognised again.",
            level=LEVELS),
    _metric("cache.saved_bytes", _C, "bytes", "Answers that came out of a level.", level=LEVELS),
    _metric("cache.entries", _C, "answers", "Answers that were kept.", level=LEVELS),
    _metric("cache.invalidated", _C, "answers", "Answers that were declared worthless."),
    _metric("cache.trouble", _C, "calls", "Calls to a level that was in trouble.",
            level=(*LEVELS, OTHER)),
    # -- queue
    _metric("queue.depth", _G, "jobs", "Jobs that wait.", priority=PRIORITIES),
    _metric("queue.oldest", _G, "seconds", "How long the job that is next has been ready.",
            priority=PRIORITIES, across=_MOST),
    _metric("queue.running", _G, "jobs", "Jobs that are worked on just now."),
    _metric("queue.dead_letters", _G, "jobs", "Jobs that were given up and wait for somebody."),
    _metric("queue.wait", _T, "seconds", "How long a job was ready before it was taken.",
            priority=PRIORITIES),
    _metric("queue.events", _C, "events", "What happened to jobs.",
            event=("queued", "started", "retried", "handed_back", "completed", "failed",
                   "cancelled")),
    _metric("queue.leases_lost", _C, "leases", "Claims whose worker gave no sign of life."),
    _metric("queue.workers", _G, "workers", "Workers that are alive."),
    # -- services over the network
    _metric("gateway.calls", _C, "calls", "Attempts at a service, and those that a breaker kept "
            "from being made.", outcome=CALLS),
    _metric("gateway.latency", _T, "seconds", "How long a service took to answer."),
    _metric("gateway.retries", _C, "calls", "Attempts after the first."),
    _metric("gateway.breakers_open", _G, "services", "Services that are left alone for a while."),
    # -- database
    _metric("database.connections", _G, "connections", "Connections of the pools.",
            state=("used", "idle")),
    _metric("database.pool_used", _G, "ratio", "The fullest pool: connections in use over those "
            "that there may be.", across=_MOST),
    _metric("database.waits", _C, "seconds", "Time that was waited for a connection."),
    _metric("database.refusals", _C, "callers", "Callers that got no connection in time."),
    _metric("database.slow", _C, "statements", "Statements that took longer than slow_query_ms."),
    # -- the server
    _metric("http.requests", _C, "requests", "Requests that were answered.",
            route=ROUTES, status=STATUSES),
    _metric("http.latency", _T, "seconds", "How long an answer took to begin.", route=ROUTES),
    # -- machine and processes
    _metric("machine.disk_free", _G, "ratio", "The part of the disk of the home folder that is "
            "free.", across=_LEAST),
    _metric("machine.disk_free_bytes", _G, "bytes", "Free bytes there.", across=_LEAST),
    _metric("process.up", _G, "processes", "Processes that report.", role=PROCESSES),
    _metric("process.lost", _C, "processes", "Processes that vanished without a word.",
            role=PROCESSES),
    _metric("process.memory", _G, "bytes", "Memory of the largest process.", across=_MOST),
    _metric("alerts.firing", _G, "alerts", "Alerts that hold just now.",
            severity=("warning", "critical"), across=_MOST),
)  # fmt: skip

BY_NAME: Final = {one.name.value: one for one in METRICS}
BY_KEY: Final = {key: one for one in METRICS for key in one.series()}
"""Every series that there can be, and what it is of."""


def size_of(seconds: float | None) -> str:
    """The class of a recording by its length."""
    if seconds is None:
        return "unknown"
    limits = ((300.0, "short"), (1800.0, "medium"), (7200.0, "long"))
    return next((name for limit, name in limits if seconds <= limit), "huge")
