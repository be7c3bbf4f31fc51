"""The page: its files, each with a name for its content so that browsers ask only for news."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from stretto.interfaces.http.errors import HttpError
from stretto.interfaces.http.security import Anybody
from stretto.interfaces.http.server import ServerOf

MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page; ``tag`` names its content."""

    content: bytes
    media_type: str
    tag: str


@router.api_route("/", methods=["GET", "HEAD"])
def index(request: Request, server: ServerOf, caller: Anybody) -> Response:
    """The page."""
    return _answer(request, server.page, "index.html")


@router.get("/favicon.ico")
def icon(request: Request, server: ServerOf, caller: Anybody) -> Response:
    """The picture beside its name."""
    return _answer(request, server.page, "icon.svg")


@router.api_route("/{name:path}", methods=["GET", "HEAD"])
def file(name: str, request: Request, server: ServerOf, caller: Anybody) -> Response:
    """One of the files that it needs. The last of all routes: it takes every address."""
    return _answer(request, server.page, name)


def _answer(request: Request, folder: Path, name: str) -> Response:
    found = _file(folder, name)
    headers = {"etag": found.tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


def _file(folder: Path, name: str) -> PageFile:
    """Raises HttpError for what is not in the list: names from outside never become paths."""
    path = files_of(folder).get(name)
    if path is None:
        raise HttpError(404, "There is no such page.", code="not_found")
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=512)
def _read(path: Path, changed_ns: int) -> PageFile:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(content, MEDIA_TYPES[path.suffix], tag)


@lru_cache(maxsize=4)
def files_of(folder: Path) -> dict[str, Path]:
    """Every file of the page by its name in addresses."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in MEDIA_TYPES
    }
