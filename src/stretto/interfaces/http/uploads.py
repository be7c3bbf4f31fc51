"""Uploads that can be resumed: tus 1.0 (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator
from email.utils import formatdate
from threading import Lock
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from stretto.bootstrap.recordings import UNFINISHED_FOR_S
from stretto.contexts.core.access import Caller
from stretto.contexts.core.errors import UnknownUpload
from stretto.contexts.processing.recordings import Upload, UploadId
from stretto.interfaces.http import documents, schemas
from stretto.interfaces.http.documents import answered
from stretto.interfaces.http.errors import HttpError
from stretto.interfaces.http.forms import BATCH_BYTES, body_of
from stretto.interfaces.http.security import ANYBODY, Reader, Writer
from stretto.interfaces.http.server import Server, ServerOf

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,termination,expiration"
PIECE: Final = "application/offset+octet-stream"

router = APIRouter(prefix="/api/uploads", tags=["uploads"])


async def _speaks_tus(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise HttpError(
            412,
            f"Send the header Tus-Resumable: {VERSION}.",
            code="tus_version",
            tus_version=VERSION,
            tus_resumable=VERSION,
        )


Tus = Annotated[None, Depends(_speaks_tus)]


class Turns:
    """One request at a time appends to an upload."""

    def __init__(self) -> None:
        self._taken: set[UploadId] = set()
        self._lock = Lock()

    def take(self, upload_id: UploadId) -> None:
        """Raises HttpError when another one has it."""
        with self._lock:
            if upload_id in self._taken:
                raise HttpError(
                    423, f"The upload {upload_id} is being written to.", code="upload_locked"
                )
            self._taken.add(upload_id)

    def give_back(self, upload_id: UploadId) -> None:
        with self._lock:
            self._taken.discard(upload_id)


_TURNS: Final = Turns()


def _headers(*names: str, body: bool = False) -> dict[str, Any]:
    """What tus asks for besides, for the description."""
    schemas_of = {
        "Tus-Resumable": {"type": "string", "enum": [VERSION]},
        "Upload-Offset": {"type": "integer", "minimum": 0, "maximum": 10**15},
        "Upload-Metadata": {"type": "string", "pattern": "^filename [A-Za-z0-9+/]{4}$"},
    }
    number = {"type": "integer", "minimum": 1, "maximum": 10**15}
    parameters = [
        {
            "name": name,
            "in": "header",
            "required": name != "Upload-Metadata",
            "schema": schemas_of.get(name, number),
        }
        for name in ("Tus-Resumable", *names)
    ]
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = {"requestBody": {"required": True, "content": {PIECE: binary}}}
    return {"parameters": parameters, **(content if body else {})}


_TUS: Final[dict[int | str, dict[str, Any]]] = {
    412: {"model": schemas.Error, "description": "Another version of tus."},
    423: {"model": schemas.Error, "description": "Another request writes to it."},
    **schemas.REFUSALS,
}


@router.options("", status_code=204, dependencies=[Depends(ANYBODY)])
def abilities(server: ServerOf) -> Response:
    """What this server can do of tus."""
    return _tus(
        204,
        tus_version=VERSION,
        tus_extension=EXTENSIONS,
        tus_max_size=str(server.serving.most_bytes),
    )


@router.post(
    "",
    status_code=201,
    responses={201: {"description": "Begun."}, **_TUS},
    response_class=Response,
    openapi_extra=_headers("Upload-Length", "Upload-Metadata"),
)
async def begin(request: Request, server: ServerOf, caller: Writer, tus: Tus) -> Response:
    """Begin an upload of Upload-Length bytes; the first of them may come along."""
    length, most = _number(request, "upload-length"), server.serving.most_bytes
    if length > most:
        raise HttpError(413, f"More than {most} bytes are not taken.", code="request_too_large")
    if length == 0:
        raise HttpError(400, "The recording is empty.", code="media_empty")
    name = _metadata(request.headers.get("upload-metadata", "")).get("filename", "")
    files = server.serving.recordings
    upload = await run_in_threadpool(files.begin, name, owner=caller.owner, length=length)
    if request.headers.get("content-type") == PIECE:
        upload = await _appended(request, server, upload)
    return _tus(
        201,
        location=f"/api/uploads/{upload.id}",
        upload_offset=str(upload.offset),
        upload_expires=_expires(upload),
    )


@router.head(
    "/{upload_id}",
    responses={200: {"description": "So far."}, **_TUS},
    response_class=Response,
    openapi_extra=_headers(),
)
def offset(upload_id: schemas.PathId, server: ServerOf, caller: Reader, tus: Tus) -> Response:
    """How much has come."""
    upload = _found(server, caller, upload_id)
    return _tus(
        200,
        upload_offset=str(upload.offset),
        upload_length=str(upload.length),
        upload_expires=_expires(upload),
    )


@router.get("/{upload_id}", responses=schemas.answers(schemas.Upload))
def show(upload_id: schemas.PathId, server: ServerOf, caller: Reader) -> Response:
    """The same as a document, with the hash once all has come."""
    return answered(documents.of_upload(_found(server, caller, upload_id)))


@router.patch(
    "/{upload_id}",
    status_code=204,
    responses=_TUS,
    openapi_extra=_headers("Upload-Offset", body=True),
)
async def append(
    upload_id: schemas.PathId, request: Request, server: ServerOf, caller: Writer, tus: Tus
) -> Response:
    """The next piece, behind what has come."""
    if request.headers.get("content-type") != PIECE:
        raise HttpError(415, f"Send the piece as {PIECE}.", code="unsupported_media_type")
    upload = await run_in_threadpool(_found, server, caller, upload_id)
    if _number(request, "upload-offset") != upload.offset:
        raise HttpError(409, f"{upload.offset} bytes have come; go on there.", code="wrong_offset")
    upload = await _appended(request, server, upload)
    return _tus(204, upload_offset=str(upload.offset), upload_expires=_expires(upload))


@router.delete("/{upload_id}", status_code=204, responses=_TUS, openapi_extra=_headers())
def drop(upload_id: schemas.PathId, server: ServerOf, caller: Writer, tus: Tus) -> Response:
    """Forget an upload. A recording that is complete stays, where a job needs it."""
    upload = _found(server, caller, upload_id)
    server.serving.recordings.drop(upload.id)
    if upload.file_hash is not None:
        server.serving.keeper.forget_of(upload.owner, upload.file_hash)
    return _tus(204)


def _found(server: Server, caller: Caller, upload_id: str) -> Upload:
    found = UploadId.parse(upload_id)
    upload = server.serving.recordings.upload(found)
    if upload.owner != caller.owner:
        raise UnknownUpload(f"There is no upload {found}.")
    return upload


async def _appended(request: Request, server: Server, upload: Upload) -> Upload:
    """What comes is on the disk before it is counted, also when the connection breaks."""
    files = server.serving.recordings
    _TURNS.take(upload.id)
    try:
        room = upload.length - upload.offset
        piece = await asyncio.to_thread(files.appending, upload)
        try:
            async for batch in _batches(request, room):
                await asyncio.to_thread(piece.write, batch)
        finally:
            await asyncio.shield(asyncio.to_thread(piece.close))
        upload = await asyncio.to_thread(files.upload, upload.id)
        if upload.is_complete and upload.file_hash is None:
            upload = await asyncio.to_thread(files.complete, upload)
        return upload
    finally:
        _TURNS.give_back(upload.id)


async def _batches(request: Request, room: int) -> AsyncIterator[bytes]:
    """The body in pieces of about a megabyte. Raises HttpError for more than was announced."""
    batch = bytearray()
    try:
        async for block in body_of(request):
            room -= len(block)
            if room < 0:
                raise HttpError(413, "More comes than was announced.", code="request_too_large")
            batch += block
            if len(batch) >= BATCH_BYTES:
                yield bytes(batch)
                batch.clear()
    except HttpError:  # the connection broke, or too much came: what is here counts
        if batch:
            yield bytes(batch)
        raise
    if batch:
        yield bytes(batch)


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise HttpError(400, f"The header {header} is a number of bytes.", code="invalid_value")
    return int(text)


def _metadata(header: str) -> dict[str, str]:
    """Pairs of a name and a text in Base64. Raises HttpError."""
    found = {}
    for pair in header.split(","):
        name, _, value = pair.strip().partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode("utf-8", "replace")
        except binascii.Error as cause:
            raise HttpError(
                400, "Upload-Metadata is names and texts in Base64.", code="invalid_value"
            ) from cause
    return found


def _expires(upload: Upload) -> str:
    return formatdate(upload.created_at.unix_s + UNFINISHED_FOR_S, usegmt=True)


def _tus(status: int, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code=status, headers={"tus-resumable": VERSION, **named})
