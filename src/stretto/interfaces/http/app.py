"""The application: all routes, behind the gate."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stretto import __version__
from stretto.contexts.core.errors import StrettoError
from stretto.interfaces.http import (
    errors,
    events,
    figures,
    files,
    gate,
    jobs,
    openai,
    operations,
    transcripts,
    uploads,
)
from stretto.interfaces.http.documents import answered
from stretto.interfaces.http.lingering import Lingering
from stretto.interfaces.http.security import Anybody, Doorkeeper, require_policies
from stretto.interfaces.http.server import Server

ROUTERS: Final = (
    openai.router,
    jobs.router,
    events.router,
    transcripts.router,
    uploads.router,
    operations.router,
    figures.router,
)
KEY: Final = {"Key": {"type": "http", "scheme": "bearer"}}


def create_app(server: Server) -> Lingering:
    """The application for uvicorn. Raises RuntimeError when a route has no policy."""
    keeper = Doorkeeper(server.serving)
    return Lingering(
        gate.Gate(create_routes(server, keeper), serving=server.serving, keeper=keeper)
    )


def create_routes(server: Server, keeper: Doorkeeper) -> FastAPI:
    """All routes, without the gate. Raises RuntimeError when one of them has no policy."""
    app = FastAPI(
        title="Stretto",
        version=__version__,
        description="Transcribes recordings of any length.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_name_of,
    )
    app.state.server, app.state.keeper = server, keeper
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/api/openapi.json", _described, include_in_schema=False)
    app.include_router(files.router)
    for kind in (StrettoError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _handled)
    require_policies(app.routes)
    return app


def _name_of(route: APIRoute) -> str:
    """Example: ``jobs_submit``."""
    return f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"


def _described(request: Request, caller: Anybody) -> Response:
    """All of the API for programs (OpenAPI)."""
    app: FastAPI = request.app
    document: dict[str, Any] = app.openapi()
    document.setdefault("components", {})["securitySchemes"] = KEY
    document["security"] = [{}, {"Key": []}]
    return answered(document)


async def _handled(request: Request, error: Exception) -> Response:
    request_id: str = request.scope["state"]["request_id"]
    return errors.answer(gate.translated(error), request_id=request_id)
