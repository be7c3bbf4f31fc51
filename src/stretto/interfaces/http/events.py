"""The routes that follow jobs: one, or all of somebody's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from stretto.interfaces.http import schemas
from stretto.interfaces.http.lines import Line
from stretto.interfaces.http.security import Reader
from stretto.interfaces.http.server import ServerOf
from stretto.interfaces.http.streaming import BEAT, BEAT_S, EventStream

MOST_NUMBER: Final = 2**63 - 1
LastEvent = Annotated[str, Header(max_length=20, alias="Last-Event-ID")]

router = APIRouter(prefix="/api", tags=["jobs"])

_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "Events until the job is over.",
    },
    204: {"description": "The job is over, and nothing is to come."},
    **schemas.REFUSALS,
}
_EVERYTHING: Final[dict[int | str, dict[str, Any]]] = {
    200: {**_STREAM[200], "description": "Events, for as long as somebody listens."},
    **schemas.REFUSALS,
}


@router.get("/jobs/{job_id}/events", responses=_STREAM, response_class=Response)
async def events(
    job_id: schemas.PathId,
    server: ServerOf,
    caller: Reader,
    after: Annotated[int, Query(ge=0, le=MOST_NUMBER)] = 0,
    last_event_id: LastEvent = "",
) -> Response:
    """What happens to a job, from its beginning or behind an event."""
    known = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else after
    known = min(known, MOST_NUMBER)
    job = await run_in_threadpool(server.job, job_id, caller)
    if job.is_over and not await run_in_threadpool(server.serving.queue.heard, job.id, after=known):
        return Response(status_code=204)
    heard = server.watch.follow(job.id, after=known, beat_s=BEAT_S)
    return EventStream(_sent(heard), turn=partial(server.streams.turn, caller))


@router.get("/events", responses=_EVERYTHING, response_class=Response)
async def all_events(
    server: ServerOf,
    caller: Reader,
    after: Annotated[int | None, Query(ge=0, le=MOST_NUMBER)] = None,
    last_event_id: LastEvent = "",
) -> Response:
    """What happens to all jobs of the caller, from now on or behind an event."""
    known = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else after
    if known is None:  # found out before the answer begins: whoever has seen it misses nothing
        known = await run_in_threadpool(server.serving.queue.newest)
    known = min(known, MOST_NUMBER)
    heard = server.watch.everything.follow(caller.sees, after=known, beat_s=BEAT_S)
    return EventStream(_sent(heard), turn=partial(server.streams.turn, caller))


async def _sent(heard: AsyncIterator[list[Line]]) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    async for lines in heard:
        yield b"".join(line.sent for line in lines) or BEAT
