"""OpenAI's audio API: transcriptions, translations and models, as its official client speaks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from stretto.contexts.core.access import Caller
from stretto.contexts.core.errors import StrettoError, Unavailable, UnknownModel
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.recognition import Task
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.queue.model import Job, JobPriority
from stretto.contexts.queue.service import error_of
from stretto.interfaces.http import schemas, schemas_openai
from stretto.interfaces.http.documents import answered, trouble_of
from stretto.interfaces.http.errors import HttpError
from stretto.interfaces.http.forms import Form, received_form
from stretto.interfaces.http.openai_answers import Deltas, Document, sent, whole
from stretto.interfaces.http.openai_fields import FORMATS, Asked, asked_of
from stretto.interfaces.http.security import Reader, Writer
from stretto.interfaces.http.server import OPENAI_MODELS, Server, ServerOf
from stretto.interfaces.http.streaming import BEAT_S, EventStream, unless_hung_up

SINCE: Final = 1_763_942_400
"""When models were created, for clients that want to know: none of them can mind."""

router = APIRouter(prefix="/v1", tags=["OpenAI's audio API"])

_FIELDS: Final[dict[str, Any]] = {
    "file": {"type": "string", "format": "binary", "minLength": 1},
    "model": {"type": "string", "examples": ["whisper-1"]},
    "prompt": {"type": "string"},
    "response_format": {"enum": list(FORMATS)},
    "temperature": {"type": "number", "minimum": 0, "maximum": 1},
}
_MORE_FIELDS: Final[dict[str, Any]] = {
    "language": {"type": "string", "examples": ["en"]},
    "stream": {"type": "boolean"},
    "timestamp_granularities[]": {"type": "array", "items": {"enum": ["word", "segment"]}},
    "include[]": {"type": "array", "items": {"enum": ["logprobs"]}},
}


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": ["file", "model"], "properties": fields}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }


_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": schemas_openai.OpenAITranscription,
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
        "description": "The transcript in the format that was asked for.",
    },
    **schemas.REFUSALS,
}


@router.post(
    "/audio/transcriptions", responses=_ANSWERS, openapi_extra=_body({**_FIELDS, **_MORE_FIELDS})
)
async def transcriptions(request: Request, server: ServerOf, caller: Writer) -> Response:
    """Transcribe a recording, and wait for the text."""
    return await _heard(request, server, caller, Task.TRANSCRIBE)


@router.post("/audio/translations", responses=_ANSWERS, openapi_extra=_body(_FIELDS))
async def translations(request: Request, server: ServerOf, caller: Writer) -> Response:
    """Transcribe a recording into English."""
    return await _heard(request, server, caller, Task.TRANSLATE)


@router.get("/models", responses=schemas.answers(schemas_openai.OpenAIModels))
def models(server: ServerOf, caller: Reader) -> Response:
    """The models that a request may name."""
    names = [*server.model_names(), *OPENAI_MODELS]
    return answered({"object": "list", "data": [_model(name) for name in names]})


@router.get("/models/{name:path}", responses=schemas.answers(schemas_openai.OpenAIModel))
def model(name: str, server: ServerOf, caller: Reader) -> Response:
    """One of them."""
    if name not in (*server.model_names(), *OPENAI_MODELS):
        raise UnknownModel(f"The model {name[:80]!r} does not exist here.")
    return answered(_model(name))


def _model(name: str) -> Document:
    return {"id": name, "object": "model", "created": SINCE, "owned_by": "stretto"}


async def _heard(request: Request, server: Server, caller: Caller, task: Task) -> Response:
    serving = server.serving
    form = await received_form(
        request, serving.recordings, owner=caller.owner, most_bytes=serving.most_bytes
    )
    if form.recording is None:
        raise HttpError(400, "The form has no file.", code="missing_field", param="file")
    asked, job = await run_in_threadpool(_asked, server, caller, form, task)
    if asked.stream:
        turn = partial(server.streams.turn, caller)
        return EventStream(sent(_streamed(server, job.id, asked)), turn=turn)
    try:
        await unless_hung_up(request.receive, server.watch.ended(job.id))
    except ClientDisconnect as cause:  # the job goes on: whoever asks again finds it done
        raise HttpError(400, "The connection broke off.", code="disconnected") from cause
    transcript = await run_in_threadpool(_result, server, job.id)
    translation = task is Task.TRANSLATE
    return await run_in_threadpool(whole, transcript, asked, translation=translation)


def _asked(server: Server, caller: Caller, form: Form, task: Task) -> tuple[Asked, Job]:
    """What a form asks for, and the job that was made of it. The client sends the same again when
    it has waited for ten minutes; the queue lets equal work wait for the first."""
    if form.recording is None:
        raise HttpError(400, "The form has no file.", code="missing_file", param="file")
    with server.using(form.recording):
        asked = asked_of(form, translation=task is Task.TRANSLATE)
        options = server.options(
            caller, language=asked.language, prompt=asked.prompt, task=task.value
        )
        work = server.work(form.recording.path, options, asked.model)
        _require_workers(server)
        if asked.stream:
            server.streams.require_room(caller)
        job = server.submit(work, form.recording, caller=caller, priority=JobPriority.HIGH)
        return asked, job


def _require_workers(server: Server) -> None:
    """Whoever waits for the text must not wait for ever. Raises Unavailable."""
    if not server.hands.work and not server.serving.queue.nodes():
        raise Unavailable("No worker is running. Start one: stretto worker")


def _result(server: Server, job_id: JobId) -> Transcript:
    """Raises why there is none."""
    job = server.serving.queue.get(job_id)
    if (error := error_of(job)) is not None:
        raise type(error)(trouble_of(job)) if job.error else error
    if job.transcript_id is None:
        raise Unavailable("The server is being stopped. Ask again: the work goes on.")
    return server.serving.archive.get(job.transcript_id)


async def _streamed(server: Server, job_id: JobId, asked: Asked) -> AsyncIterator[Document | None]:
    deltas = Deltas(asked)
    async for lines in server.watch.follow(job_id, after=0, beat_s=BEAT_S):
        if not lines:
            yield None
        for document in deltas.of(lines):
            yield document
    try:
        transcript = await run_in_threadpool(_result, server, job_id)
    except StrettoError as error:
        yield _trouble(error.message)
        return
    rest = deltas.rest(transcript)
    if rest is None:
        yield _trouble("The recording was begun anew and heard differently; ask again.")
        return
    for document in rest:
        yield document


def _trouble(message: str) -> Document:
    body = {"message": message, "type": "server_error", "param": None, "code": None}
    return {"error": body}
