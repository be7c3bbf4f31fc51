"""The routes around transcripts: list, search, read, edit, export, listen, delete."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from stretto.bootstrap.listening import MOST_POINTS
from stretto.contexts.core.errors import InvalidOption, UnknownTranscript
from stretto.contexts.core.identifiers import FileHash, Language
from stretto.contexts.core.transcript import TranscriptStatus
from stretto.contexts.processing.editing import TextEdit
from stretto.contexts.processing.library import (
    BEGINNING,
    Cursor,
    SearchHit,
    TranscriptSummary,
    Wanted,
)
from stretto.contexts.processing.recordings import Recording, safe_name
from stretto.interfaces.formats import FORMATS, format_named
from stretto.interfaces.http import documents, schemas
from stretto.interfaces.http.documents import Document, answered
from stretto.interfaces.http.security import Reader, Writer
from stretto.interfaces.http.server import Server, ServerOf

CURSOR: Final = r"^$|^-?[0-9]{1,12}(\.[0-9]{1,9})?(e[+-]?[0-9]{1,2})?:[0-9]{1,18}$"
MOST_VERSIONS: Final = 100
MOST_EDIT_BYTES: Final = 8 << 20
PLAYED_AS: Final = {
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".aac": "audio/aac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
}
"""What browsers take for sound; everything else is only bytes, and no browser makes more of it."""

router = APIRouter(prefix="/api", tags=["transcripts"])
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/transcripts", responses=schemas.answers(schemas.Transcripts))
def list_transcripts(
    server: ServerOf,
    caller: Reader,
    limit: Limit = 20,
    after: Annotated[str, Query(max_length=64, pattern=CURSOR)] = "",
    language: schemas.Spoken = "",
    status: TranscriptStatus | None = None,
    file_hash: Annotated[str, Query(pattern="^$|^[0-9a-f]{64}$")] = "",
) -> Response:
    """Transcripts, the newest first."""
    wanted = Wanted(
        limit=limit,
        after=Cursor.parse(after) if after else BEGINNING,
        language=Language.parse(language) if language else None,
        status=status,
        file_hash=FileHash(file_hash) if file_hash else None,
        owner=caller.sees,
    )
    page = server.serving.archive.page(wanted)
    rows = [documents.of_summary(row) for row in page.rows]
    return answered({"transcripts": rows, "next": str(page.next) if page.next else None})


@router.get("/search", responses=schemas.answers(schemas.Hits))
def search(
    server: ServerOf,
    caller: Reader,
    q: Annotated[str, Query(min_length=1, max_length=500)],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """Words in all transcripts: "a phrase" in quotation marks, a begin* with a star. Nothing is
    found by what has no word in it, as on the way to one."""
    hits: tuple[SearchHit, ...] = ()
    with suppress(InvalidOption):
        hits = server.serving.archive.search(q, limit=limit, owner=caller.sees)
    return answered({"hits": [documents.of_hit(hit) for hit in hits]})


@router.get("/transcripts/{transcript_id}", responses=schemas.answers(schemas.Transcript))
def show(transcript_id: schemas.PathId, server: ServerOf, caller: Reader) -> Response:
    """One transcript with its text and words."""
    return answered(_whole(server, server.summary(transcript_id, caller)))


def _whole(server: Server, summary: TranscriptSummary) -> Document:
    archive = server.serving.archive
    same = Wanted(limit=MOST_VERSIONS, file_hash=summary.file_hash, owner=summary.owner)
    versions = [
        {"id": str(row.id), "version": row.version, "created_at": row.created_at.unix_s}
        for row in archive.page(same).rows
    ]
    return {
        **documents.of_summary(summary),
        "versions": versions,
        "audio": _recording(server, summary) is not None,
        "transcript": documents.of_transcript(archive.get(summary.id)),
    }


@router.post(
    "/transcripts/{transcript_id}/edits",
    status_code=201,
    responses=schemas.answers(schemas.Transcript, 201),
    max_body_size=MOST_EDIT_BYTES,
)
def edit(
    transcript_id: schemas.PathId, edits: schemas.Edits, server: ServerOf, caller: Writer
) -> Response:
    """Change the text of segments. The old text stays, as the version before."""
    summary = server.summary(transcript_id, caller)
    changes = [TextEdit(index=one.index, text=one.text) for one in edits.segments]
    new = server.serving.edit(summary, changes)
    made = server.summary(str(new.id), caller)
    place = f"/api/transcripts/{new.id}"
    return answered(_whole(server, made), status=201, location=place)


@router.get(
    "/transcripts/{transcript_id}/export",
    response_class=Response,
    responses={
        200: {
            "content": {
                kind: {"schema": {"type": "object" if kind == "application/json" else "string"}}
                for kind in sorted({form.media_type for form in FORMATS.values()})
            },
            "description": "The document.",
        },
        **schemas.REFUSALS,
    },
)
def export(
    transcript_id: schemas.PathId,
    server: ServerOf,
    caller: Reader,
    format: Literal[tuple(FORMATS)] = "txt",  # type: ignore[valid-type] # noqa: A002
    words: bool = False,
) -> Response:
    """The transcript in one of the formats, as a download."""
    summary = server.summary(transcript_id, caller)
    form = format_named(format)
    transcript = server.serving.archive.get(summary.id)
    document = form.render(transcript if words else transcript.without_words())
    stem = safe_name(summary.file).rpartition(".")[0] or safe_name(summary.file)
    media_type = f"{form.media_type}; charset=utf-8"
    headers = {"content-disposition": as_attachment(stem + form.suffix)}
    return Response(document.encode(), media_type=media_type, headers=headers)


@router.get(
    "/transcripts/{transcript_id}/audio",
    response_class=Response,
    responses={
        200: {"content": {"audio/*": {}}, "description": "The recording."},
        206: {"content": {"audio/*": {}}, "description": "A part of it."},
        416: {"description": "There is no such part."},
        **schemas.REFUSALS,
    },
)
def audio(transcript_id: schemas.PathId, server: ServerOf, caller: Reader) -> Response:
    """The recording, or the part of it that is asked for with Range."""
    recording = _needed(server, server.summary(transcript_id, caller))
    media_type = PLAYED_AS.get(recording.path.suffix.lower(), "application/octet-stream")
    headers = {"cache-control": "private, max-age=3600"}
    return FileResponse(recording.path, media_type=media_type, headers=headers)


@router.get("/transcripts/{transcript_id}/peaks", responses=schemas.answers(schemas.Peaks))
async def peaks(
    transcript_id: schemas.PathId,
    server: ServerOf,
    caller: Reader,
    points: Annotated[int, Query(ge=10, le=MOST_POINTS)] = 1000,
) -> Response:
    """How loud the recording is, from its beginning to its end; 1 is as loud as can be."""
    summary = await run_in_threadpool(server.summary, transcript_id, caller)
    recording = await run_in_threadpool(_needed, server, summary)
    loudness = await server.drawing.loudness(recording)
    return answered(
        {"duration_s": loudness.duration_s, "peaks": loudness.drawn(points)},
        cache_control="private, max-age=3600",
    )


@router.delete("/transcripts/{transcript_id}", status_code=204, responses=schemas.REFUSALS)
def delete(transcript_id: schemas.PathId, server: ServerOf, caller: Writer) -> Response:
    """Delete it with everything that came of it; with the last of a recording goes that too."""
    summary = server.summary(transcript_id, caller)
    server.serving.archive.delete(summary.id)
    return Response(status_code=204)


def _recording(server: Server, summary: TranscriptSummary) -> Recording | None:
    return server.serving.recordings.find(summary.owner, summary.file_hash)


def _needed(server: Server, summary: TranscriptSummary) -> Recording:
    found = _recording(server, summary)
    if found is None:
        raise UnknownTranscript(f"The recording of the transcript {summary.id} is not here.")
    return found


def as_attachment(name: str) -> str:
    """The header for a download of that name, whatever is in it (RFC 6266)."""
    plain = "".join(c if (c.isascii() and c.isalnum()) or c in " ._-" else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
