"""The routes around jobs: submit, look, follow, cancel, retry, and those that were given up."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError
from starlette.responses import Response

from stretto.contexts.core.access import Caller, Scope
from stretto.contexts.core.errors import InvalidOption, JobNotInState, UnknownUpload
from stretto.contexts.core.identifiers import FileHash
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.processing.recordings import Recording, UploadId
from stretto.contexts.queue.model import Job, JobPriority, Wanted
from stretto.interfaces.http import documents, schemas
from stretto.interfaces.http.documents import answered
from stretto.interfaces.http.errors import HttpError
from stretto.interfaces.http.forms import body_of, received_form, refuse_large
from stretto.interfaces.http.security import Reader, Writer
from stretto.interfaces.http.server import Server, ServerOf

MOST_JSON_BYTES: Final = 64 << 10
Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[
    str, Query(pattern=f"^$|{schemas.UUID}", description="The last one of the page before.")
]
Key = Annotated[
    str,
    Header(max_length=100, pattern="^[ -~]*$", description="Sent again, it is the same job."),
]

router = APIRouter(prefix="/api", tags=["jobs"])


WAYS: Final = ("file_hash", "upload", "url")
"""Those to name a recording without sending it along."""


def _one_of_them() -> dict[str, Any]:
    """The recording is named in one way."""
    schema = schemas.JobRequest.model_json_schema()
    properties = schema["properties"]
    named = {}
    for way in WAYS:
        named[way] = properties.pop(way)["anyOf"][0]
    return {
        "oneOf": [
            {**schema, "properties": {**properties, way: field}, "required": [way]}
            for way, field in named.items()
        ]
    }


_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "minLength": 1},
                        "language": {"type": "string", "enum": schemas.CODES},
                        "prompt": {"type": "string", "maxLength": 1024},
                        "priority": {"enum": ["high", "medium", "low"]},
                        "task": {"enum": ["transcribe", "translate"]},
                        "model": {"type": "string"},
                    },
                }
            },
            "application/json": {
                "schema": _one_of_them(),
                "examples": {
                    "known": {"value": {"file_hash": "9f" * 32, "language": "en"}},
                    "uploaded": {"value": {"upload": schemas.AN_ID, "priority": "high"}},
                    "at an address": {"value": {"url": "https://example.org/talk.mp3"}},
                },
            },
        },
    }
}


@router.post(
    "/jobs", status_code=202, responses=schemas.answers(schemas.Job, 202), openapi_extra=_FORM
)
async def submit(
    request: Request, server: ServerOf, caller: Writer, idempotency_key: Key = ""
) -> Response:
    """Have a recording transcribed. The job is on the disk when this is answered."""
    if request.headers.get("content-type", "").startswith("application/json"):
        wanted = await _json_of(request)
        recording = await _named(request, server, caller, wanted)
    else:
        files = server.serving.recordings
        most = server.serving.most_bytes
        form = await received_form(request, files, owner=caller.owner, most_bytes=most)
        if form.recording is None:
            raise HttpError(400, "The form has no file.", code="missing_file", param="file")
        recording = form.recording
        with server.using(recording):
            fields = {name: values[-1] for name, values in form.fields.items()}
            wanted = _checked({**fields, **dict.fromkeys(WAYS)})
    job = await run_in_threadpool(_submitted, server, caller, recording, wanted, idempotency_key)
    return answered(documents.of_job(job), status=202, location=f"/api/jobs/{job.id}")


def _submitted(
    server: Server, caller: Caller, recording: Recording, wanted: schemas.JobRequest, key: str
) -> Job:
    with server.using(recording):
        work = server.work(recording.path, _options(server, caller, wanted), wanted.model)
        priority = JobPriority.parse(wanted.priority)
        return server.submit(work, recording, caller=caller, priority=priority, key=key)


def _options(server: Server, caller: Caller, wanted: schemas.JobRequest) -> TranscriptionOptions:
    return server.options(caller, language=wanted.language, prompt=wanted.prompt, task=wanted.task)


async def _named(
    request: Request, server: Server, caller: Caller, wanted: schemas.JobRequest
) -> Recording:
    if sum(getattr(wanted, way) is not None for way in WAYS) != 1:
        raise InvalidOption(f"Name the recording in one way: {', '.join(WAYS)}.")
    if wanted.url is None:
        return await run_in_threadpool(_known, server, caller, wanted)
    await run_in_threadpool(_raise_if_refused, server, caller, wanted)
    return await server.fetching.fetch(request, server.serving.fetcher, wanted.url, caller)


def _raise_if_refused(server: Server, caller: Caller, wanted: schemas.JobRequest) -> None:
    """What would be refused afterwards is not fetched."""
    _options(server, caller, wanted)
    server.model_named(wanted.model)


def _known(server: Server, caller: Caller, wanted: schemas.JobRequest) -> Recording:
    """The recording that was uploaded before."""
    recordings, owner, found = server.serving.recordings, caller.owner, wanted.file_hash
    if wanted.upload is not None:
        upload = recordings.upload(UploadId.parse(wanted.upload))
        if upload.owner != owner:
            raise UnknownUpload(f"There is no upload {upload.id}.")
        if upload.file_hash is None:
            raise JobNotInState(
                f"Of the upload {upload.id} {upload.offset} of {upload.length} bytes are here."
            )
        found = upload.file_hash.value
    recording = recordings.find(owner, FileHash(found or ""))
    if recording is None:
        raise UnknownUpload(f"There is no recording with the hash {found}; upload it.")
    return recording


async def _json_of(request: Request) -> schemas.JobRequest:
    refuse_large(request, MOST_JSON_BYTES, MOST_JSON_BYTES)
    body = bytearray()
    async for block in body_of(request):
        body += block
        if len(body) > MOST_JSON_BYTES:
            raise HttpError(413, "The body is too long.", code="request_too_large")
    try:
        return schemas.JobRequest.model_validate_json(bytes(body))
    except ValidationError as cause:
        raise wrong_field(cause) from cause


def _checked(fields: dict[str, Any]) -> schemas.JobRequest:
    try:
        return schemas.JobRequest.model_validate(fields)
    except ValidationError as cause:
        raise wrong_field(cause) from cause


def wrong_field(cause: ValidationError) -> HttpError:
    """The first thing that is wrong, as a sentence."""
    first = cause.errors()[0]
    param = ".".join(str(part) for part in first["loc"]) or None
    said = f"{param}: {first['msg']}." if param else f"{first['msg']}."
    return HttpError(422, said[:500], code="invalid_value", param=param)


@router.get("/jobs", responses=schemas.answers(schemas.Jobs))
def list_jobs(
    server: ServerOf,
    caller: Reader,
    status: schemas.Status | None = None,
    limit: Limit = 20,
    after: After = "",
) -> Response:
    """Jobs, the newest first."""
    return answered(_page(server, caller, JobStatus(status) if status else None, limit, after))


def _page(
    server: Server, caller: Caller, status: JobStatus | None, limit: int, after: str
) -> documents.Document:
    last = server.job(after, caller) if after else None
    wanted = Wanted(limit=limit, status=status, after=last, owner=caller.sees)
    jobs = server.serving.queue.page(wanted)
    following = str(jobs[-1].id) if len(jobs) == limit else None
    return {"jobs": [documents.of_job(job) for job in jobs], "next": following}


@router.get("/jobs/{job_id}", responses=schemas.answers(schemas.Job))
def show(job_id: schemas.PathId, server: ServerOf, caller: Reader) -> Response:
    """One job."""
    return answered(documents.of_job(server.job(job_id, caller)))


@router.post("/jobs/{job_id}/cancel", responses=schemas.answers(schemas.Job))
def cancel(job_id: schemas.PathId, server: ServerOf, caller: Writer) -> Response:
    """A queued job never starts, a running one stops within two seconds, one that is over stays."""
    job = server.job(job_id, caller)
    return answered(documents.of_job(server.serving.queue.cancel(job.id)))


@router.post("/jobs/{job_id}/retry", responses=schemas.answers(schemas.Job))
def retry(job_id: schemas.PathId, server: ServerOf, caller: Writer) -> Response:
    """Try a job again that failed or was cancelled; only what is missing is computed."""
    job = server.serving.queue.retry(server.job(job_id, caller).id)
    server.hands.ring()
    return answered(documents.of_job(job))


@router.get("/dlq", responses=schemas.answers(schemas.Jobs), tags=["dead letters"])
def dead_letters(
    server: ServerOf, caller: Reader, limit: Limit = 20, after: After = ""
) -> Response:
    """Jobs that were given up, the newest first."""
    return answered(_page(server, caller, JobStatus.FAILED, limit, after))


@router.get("/dlq/{job_id}", responses=schemas.answers(schemas.DeadLetter), tags=["dead letters"])
def dead_letter(job_id: schemas.PathId, server: ServerOf, caller: Reader) -> Response:
    """Why a job was given up, and where that came from."""
    job = server.job(job_id, caller)
    if job.status is not JobStatus.FAILED:
        raise JobNotInState(f"The job {job.id} is {job.status}; it was not given up.")
    trace = job.error.trace if job.error and Scope.ADMIN in caller.scopes else ""
    return answered({**documents.of_job(job), "trace": trace})


@router.post("/dlq/{job_id}/requeue", responses=schemas.answers(schemas.Job), tags=["dead letters"])
def requeue(job_id: schemas.PathId, server: ServerOf, caller: Writer) -> Response:
    """Try it again."""
    return retry(job_id, server, caller)


@router.delete("/dlq/{job_id}", status_code=204, responses=schemas.REFUSALS, tags=["dead letters"])
def purge(job_id: schemas.PathId, server: ServerOf, caller: Writer) -> Response:
    """Forget it."""
    server.serving.queue.dead_letters.purge(server.job(job_id, caller).id)
    return Response(status_code=204)
