"""Jobs, transcripts and the rest as the documents that programs get; docs/reference/http-api.md."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, Final

import msgspec
from starlette.responses import Response

from stretto.contexts.caching.management import CacheStatistics
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.transcript import Segment, Transcript
from stretto.contexts.processing.library import SearchHit, TranscriptSummary
from stretto.contexts.processing.recordings import Upload
from stretto.contexts.queue.model import Job, WorkerNode
from stretto.interfaces.formats import format_named
from stretto.interfaces.formats.cleaning import finite, well_formed

Document = dict[str, Any]

_PLACE: Final = re.compile(r"/[^\n]*/[0-9a-f]{64}/")


def answered(document: Any, *, status: int = 200, **headers: str) -> Response:
    """A document as an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = msgspec.json.encode(document)
    return Response(body, status_code=status, media_type="application/json", headers=named)


def of_job(job: Job) -> Document:
    options = job.work.options
    return {
        "id": str(job.id),
        "file": well_formed(job.file),
        "status": job.status.value,
        "priority": str(job.priority),
        "progress": job.progress,
        "attempts": job.attempts,
        "errors": job.errors,
        "outages": job.outages,
        "crashes": job.crashes,
        "transcript_id": str(job.transcript_id) if job.transcript_id else None,
        "error": {"kind": job.error.kind, "message": trouble_of(job)} if job.error else None,
        "cause": job.cause.value if job.cause else None,
        "cancelling": job.cancelling,
        "language": options.language.code if options.language else None,
        "task": options.task.value,
        "engine": job.work.engine,
        "model": job.work.model,
        "owner": job.owner,
        "created_at": job.created_at.unix_s,
        "updated_at": job.updated_at.unix_s,
        "run_at": job.run_at.unix_s,
    }


def trouble_of(job: Job) -> str:
    """What went wrong."""
    return without_places(job.error.message) if job.error else ""


def without_places(text: str) -> str:
    """Without the folders in which recordings lie here: they say whose there are others."""
    return _PLACE.sub("", well_formed(text))


def of_event(event: DomainEvent) -> Document:
    fields = {name: _plain(getattr(event, name)) for name in event.__dataclass_fields__}
    return {"event": type(event).__name__, **fields, "at": event.at.unix_s}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Segment):
        text = well_formed(value.text.strip())
        return {"start": finite(value.start), "end": finite(value.end), "text": text}
    if isinstance(value, str):
        return without_places(value)
    return value if isinstance(value, int | float | None) else str(value)


def of_summary(row: TranscriptSummary) -> Document:
    return {
        "id": str(row.id),
        "file": well_formed(row.file),
        "file_hash": row.file_hash.value,
        "version": row.version,
        "language": row.language.code if row.language else None,
        "status": row.status.value,
        "duration_s": finite(row.duration_s),
        "engine": row.engine,
        "model": row.model,
        "owner": row.owner,
        "created_at": row.created_at.unix_s,
    }


def of_transcript(transcript: Transcript) -> Document:
    """The format ``json`` with word times."""
    document: Document = json.loads(format_named("json").render(transcript))
    return document


def of_hit(hit: SearchHit) -> Document:
    return {
        "id": str(hit.transcript_id),
        "file": well_formed(hit.file),
        "version": hit.version,
        "language": hit.language.code if hit.language else None,
        "created_at": hit.created_at.unix_s,
        "start": finite(hit.start),
        "end": finite(hit.end),
        "at": finite(hit.at),
        "text": well_formed(hit.text),
        "matches": [list(mark) for mark in hit.marks],
        "score": round(hit.score, 4),
    }


def of_upload(upload: Upload) -> Document:
    return {
        "id": str(upload.id),
        "file": upload.name,
        "offset": upload.offset,
        "length": upload.length,
        "file_hash": upload.file_hash.value if upload.file_hash else None,
    }


def of_worker(node: WorkerNode) -> Document:
    queues = [str(queue) for queue in node.queues]
    plain = dataclasses.asdict(node)
    state = node.state.value
    return {**plain, "queues": queues, "state": state, "started_at": node.started_at.unix_s}


def of_statistics(statistics: CacheStatistics) -> Document:
    levels = [
        {
            "level": str(one.status.level),
            "entries": one.status.entries,
            "size_bytes": one.status.size_bytes,
            "working": one.status.working,
            "trouble": one.status.trouble,
            "asked": one.asked,
            "hits": one.hits,
            "hit_rate": one.hit_rate,
        }
        for one in statistics.levels
    ]
    return {
        "levels": levels,
        "lookups": statistics.lookups,
        "hits": statistics.hits,
        "hit_rate": statistics.hit_rate,
        "saved_s": statistics.saved_s,
    }
