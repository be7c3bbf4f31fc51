"""The routes for sessions, health, models, and the machinery: workers and the cache."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from stretto import __version__
from stretto.contexts.caching.model import Selection
from stretto.contexts.core.access import EVERY_SCOPE, Caller, Scope
from stretto.contexts.core.identifiers import FileHash
from stretto.contexts.core.languages import ENGLISH_NAMES
from stretto.interfaces.formats import FORMATS
from stretto.interfaces.http import documents, schemas
from stretto.interfaces.http import schemas_machinery as machinery
from stretto.interfaces.http.documents import Document, answered
from stretto.interfaces.http.security import COOKIE, Admin, Anybody, Doorkeeper, Reader
from stretto.interfaces.http.server import Server, ServerOf

MOST_BODY_BYTES: Final = 16 << 10
CHECK_S: Final = 2.0
NEEDED: Final = frozenset({"database", "disk"})
"""Without these no request can be answered; without the others it is only answered later."""

router = APIRouter()


@router.get("/health", responses=schemas.answers(machinery.Health), tags=["operations"])
async def health(caller: Anybody) -> Response:
    """Whether the process is alive: nothing else is looked at."""
    return answered({"status": "ok"})


@router.get(
    "/ready",
    responses=schemas.answers(machinery.Ready) | {503: {"model": machinery.Ready}},
    tags=["operations"],
)
async def ready(server: ServerOf, caller: Anybody) -> Response:
    """Whether requests can be answered, and which parts do not work."""
    checks = server.serving.checks
    said = await asyncio.gather(*(_checked(check) for check in checks.values()))
    trouble = dict(zip(checks, said, strict=True))
    open_to = Scope.ADMIN in caller.scopes
    parts = {
        name: {"ok": not text, "detail": text if open_to else ""} for name, text in trouble.items()
    }
    broken = {name for name, text in trouble.items() if text}
    status = "unavailable" if broken & NEEDED else "degraded" if broken else "ready"
    code = 503 if status == "unavailable" else 200
    return answered({"status": status, "parts": parts}, status=code)


async def _checked(check: object) -> str:
    try:
        async with asyncio.timeout(CHECK_S):
            return str(await asyncio.to_thread(check))  # type: ignore[arg-type]
    except TimeoutError:
        return f"It gave no answer within {CHECK_S:g} s."


@router.get("/api/session", responses=schemas.answers(schemas.Session), tags=["session"])
def session(server: ServerOf, caller: Anybody) -> Response:
    """Who somebody is here."""
    return answered(_session(server, caller))


def _session(server: Server, caller: Caller) -> Document:
    scopes = EVERY_SCOPE if Scope.ADMIN in caller.scopes else caller.scopes
    return {
        "owner": caller.owner,
        "scopes": sorted(scopes),
        "key_required": server.serving.key_needed or not caller.scopes,
        "authenticated": bool(caller.scopes),
        "version": __version__,
    }


@router.post(
    "/api/session",
    responses=schemas.answers(schemas.Session),
    tags=["session"],
    max_body_size=MOST_BODY_BYTES,
)
def open_session(
    wanted: schemas.SessionRequest, request: Request, server: ServerOf, caller: Anybody
) -> Response:
    """Put a key into a cookie that no script can read."""
    keeper: Doorkeeper = request.app.state.keeper
    address = request.client.host if request.client else ""
    found = keeper.look_up(wanted.key, address=address)
    response = answered(_session(server, found))
    # The server itself speaks no TLS. The gate has seen that the origin is this server.
    secure = request.headers.get("origin", "").lower().startswith("https://")
    response.set_cookie(
        COOKIE, wanted.key, httponly=True, samesite="strict", secure=secure, path="/"
    )
    return response


@router.delete("/api/session", status_code=204, responses=schemas.REFUSALS, tags=["session"])
def close_session(caller: Anybody) -> Response:
    """Forget the cookie."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", path="/")
    return response


@router.get("/api/models", responses=schemas.answers(machinery.Models), tags=["operations"])
def models(server: ServerOf, caller: Reader) -> Response:
    """The models that a job may name."""
    default = server.default_model()
    installed = {entry.name: entry for entry in server.serving.models.list() if entry.installed}
    rows = [
        {
            "name": name,
            "default": name == default,
            "size_bytes": installed[name].size_bytes if name in installed else None,
        }
        for name in server.model_names()
    ]
    return answered({"models": rows})


@router.get("/api/formats", responses=schemas.answers(machinery.Formats), tags=["operations"])
def formats(caller: Reader) -> Response:
    """The formats of exports."""
    rows = [
        {"name": form.name, "suffix": form.suffix, "media_type": form.media_type}
        for form in FORMATS.values()
    ]
    return answered({"formats": rows})


@router.get("/api/languages", responses=schemas.answers(machinery.Languages), tags=["operations"])
def languages(caller: Reader) -> Response:
    """The languages that a job may name."""
    rows = [{"code": code, "name": name} for code, name in ENGLISH_NAMES.items()]
    return answered({"languages": rows})


@router.get("/api/workers", responses=schemas.answers(machinery.Workers), tags=["operations"])
def workers(server: ServerOf, caller: Admin) -> Response:
    """The workers that are alive."""
    nodes = server.serving.queue.nodes()
    return answered({"workers": [documents.of_worker(node) for node in nodes]})


@router.get("/api/cache", responses=schemas.answers(machinery.Cache), tags=["operations"])
def cache(server: ServerOf, caller: Admin) -> Response:
    """How much the cache has, and how much it helped."""
    return answered(documents.of_statistics(server.serving.cache.statistics(most_used=0)))


@router.post(
    "/api/cache/invalidate",
    responses=schemas.answers(machinery.Invalidated),
    tags=["operations"],
    max_body_size=MOST_BODY_BYTES,
)
def invalidate(wanted: machinery.Invalidation, server: ServerOf, caller: Admin) -> Response:
    """No process serves what is selected any more."""
    selection = Selection()
    if not wanted.everything:
        selection = Selection(
            source=FileHash(wanted.source) if wanted.source else None,
            engine=wanted.engine or "",
            model=wanted.model or "",
            tag=wanted.tag or "",
        )
    result = server.serving.cache.invalidate(selection)
    removed = {str(level): count for level, count in result.removed.items()}
    return answered({"removed": removed})
