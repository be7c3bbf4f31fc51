"""The routes of monitoring: metrics for Prometheus, the data of the charts, and the alerts."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from stretto.contexts.monitoring.service import MonitoringService
from stretto.interfaces.http import schemas
from stretto.interfaces.http import schemas_monitoring as documents
from stretto.interfaces.http.documents import answered
from stretto.interfaces.http.errors import HttpError
from stretto.interfaces.http.security import Admin
from stretto.interfaces.http.server import Server, ServerOf

MOST_BODY_BYTES: Final = 16 << 10
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
KINDS: Final = (
    ("/v1/", "openai"),
    ("/api/uploads", "uploads"),
    ("/api/transcripts", "transcripts"),
    ("/api/search", "search"),
    ("/api/jobs", "jobs"),
    ("/api/dlq", "queue"),
    ("/api/workers", "queue"),
    ("/api/cache", "cache"),
    ("/api/metrics", "metrics"),
    ("/api/alerts", "metrics"),
    ("/metrics", "metrics"),
    ("/health", "health"),
    ("/ready", "health"),
    ("/api/", "other"),
    ("/", "page"),
)
"""What requests are counted as, by how their path begins; the first one that fits."""

ENDINGS: Final = {"events": "events", "audio": "audio", "peaks": "audio"}

_TEXT: Final = {"schema": {"type": "string"}, "example": documents.EXPOSITION}

router = APIRouter(tags=["monitoring"])


def kind_of(path: str) -> str:
    """One of a few words, whatever path a client thinks of."""
    kind = next((kind for beginning, kind in KINDS if path.startswith(beginning)), "other")
    return ENDINGS.get(path.rpartition("/")[2], kind) if kind in {"jobs", "transcripts"} else kind


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format.",
            "content": {"text/plain": _TEXT},
        },
        **schemas.REFUSALS,
    },
)
def metrics(server: ServerOf, caller: Admin) -> Response:
    """The metrics of all processes of the database, for Prometheus."""
    return Response(_watched(server).exposition(), media_type=PROMETHEUS)


@router.get("/api/metrics/dashboard", responses=schemas.answers(documents.Dashboard))
def dashboard(
    server: ServerOf,
    caller: Admin,
    span_s: Annotated[float, Query(ge=60, le=34_560_000, description="So far back.")] = 3600.0,
) -> Response:
    """The charts with their data, and the alerts."""
    return answered(_watched(server).dashboard(span_s))


@router.get("/api/alerts", responses=schemas.answers(documents.Alerts))
def alerts(server: ServerOf, caller: Admin) -> Response:
    """How each alert rule stands, those that fire first."""
    return answered({"alerts": _watched(server).alerts()})


@router.post(
    "/api/alerts/{rule}/silence",
    status_code=204,
    responses=schemas.REFUSALS,
    max_body_size=MOST_BODY_BYTES,
)
def silence(rule: str, wanted: schemas.Silence, server: ServerOf, caller: Admin) -> Response:
    """Tell nobody of a rule for a while; 0 ends that."""
    watched = _watched(server)
    if rule not in {one.name for one in watched.rules()}:
        raise HttpError(404, f"There is no rule {rule[:64]!r}.", code="unknown_rule")
    watched.silence(rule, wanted.seconds)
    return Response(status_code=204)


def _watched(server: Server) -> MonitoringService:
    monitoring = server.serving.monitoring.start("serve")
    if monitoring is None:
        raise HttpError(404, "Nothing is measured here: STRETTO_METRICS is off.", code="no_metrics")
    return monitoring.service
