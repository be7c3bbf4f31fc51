"""Jobs as rows of their table, and back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar, cast

import msgspec

from stretto.contexts.core.errors import JobUnreadable, StrettoError
from stretto.contexts.core.identifiers import JobId, Timestamp, TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.text import storable
from stretto.contexts.queue.division import Division
from stretto.contexts.queue.model import (
    DeathCause,
    FileWork,
    Job,
    JobError,
    JobPriority,
    JobProgress,
    Lease,
)

COLUMNS: Final = (
    *("id", "file", "work", "work_key", "priority", "status", "created_at", "updated_at"),
    *("run_at", "fence", "holder", "lease_until", "lease_boot", "errors", "crashes"),
    *(
        "crashes_since",
        "crashed_after",
        "cancelling",
        "progress",
        "transcript_id",
        "error",
        "cause",
    ),
    *("callback", "parent", "division", "outages"),
)
UNCHANGING: Final = frozenset(
    {"id", "file", "work", "work_key", "priority", "created_at", "callback", "parent"}
)
"""What a job is born with."""

BORN_WITH: Final = (*COLUMNS, "owner")
"""The columns of a new row; ``owner`` stands in ``work`` too, and is there to be sought by."""

Kind = TypeVar("Kind")

logger = logging.getLogger(__name__)

_DECODERS: Final[dict[type, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Division, FileWork, JobError, JobProgress)
}
"""Made before there are threads: msgspec 0.22 keeps what it knows of a class while it is still
finding out, and a second thread that reads one just then ends the process."""


def row_of(job: Job) -> dict[str, Any]:
    """Every column of the job by its name."""
    return changing_row_of(job) | {
        "id": str(job.id),
        "file": storable(job.file),
        "work": _json(job.work),
        "work_key": job.work_key,
        "owner": job.owner,
        "priority": int(job.priority),
        "created_at": job.created_at.unix_s,
        "callback": job.callback,
        "parent": str(job.parent) if job.parent else None,
    }


def changing_row_of(job: Job) -> dict[str, Any]:
    """The columns that can change, and the id."""
    return {
        "id": str(job.id),
        "status": job.status.value,
        "updated_at": job.updated_at.unix_s,
        "run_at": job.run_at.unix_s,
        "fence": job.fence,
        "holder": job.holder,
        "lease_until": job.lease.until_s if job.lease else None,
        "lease_boot": job.lease.boot if job.lease else "",
        "errors": job.errors,
        "outages": job.outages,
        "crashes": job.crashes,
        "crashes_since": job.crashes_since.unix_s if job.crashes_since else None,
        "crashed_after": job.crashed_after,
        "cancelling": int(job.cancelling),
        "progress": _json(job.progress),
        "transcript_id": str(job.transcript_id) if job.transcript_id else None,
        "error": _json(job.error) if job.error else None,
        "cause": job.cause.value if job.cause else None,
        "division": _json(job.division) if job.division else None,
    }


def job_of(row: Any) -> Job:
    """The job in a row that has COLUMNS in this order. Raises JobUnreadable."""
    try:
        return _job_of(row)
    except (ValueError, TypeError, StrettoError) as cause:
        why = str(cause)[:200].rstrip(".")
        raise JobUnreadable(
            f"The job {row[0]} cannot be read ({why}). A newer version of Stretto may have "
            "written it: update the one on this machine. If there is none, restore a backup."
        ) from cause


def readable(
    rows: Iterable[Any], *, passed_over: Callable[[str], None] = lambda _: None
) -> Iterator[Job]:
    """The jobs in rows that have COLUMNS. One that cannot be read is in no other's way; the log
    names it, and ``passed_over`` is called with its id."""
    for row in rows:
        try:
            yield job_of(row)
        except JobUnreadable as trouble:
            logger.error("%s", trouble)  # noqa: TRY400 - where it was read does not matter
            passed_over(row[0])


def _job_of(row: Any) -> Job:
    found = dict(zip(COLUMNS, row, strict=True))
    until, since = found["lease_until"], found["crashes_since"]
    transcript_id, error, cause = found["transcript_id"], found["error"], found["cause"]
    parent, division = found["parent"], found["division"]
    return Job(
        id=JobId.parse(found["id"]),
        file=found["file"],
        work=_read(found["work"], FileWork),
        work_key=found["work_key"],
        priority=JobPriority(found["priority"]),
        status=JobStatus(found["status"]),
        created_at=Timestamp(found["created_at"]),
        updated_at=Timestamp(found["updated_at"]),
        run_at=Timestamp(found["run_at"]),
        fence=found["fence"],
        holder=found["holder"],
        lease=None if until is None else Lease(until, found["lease_boot"]),
        errors=found["errors"],
        outages=found["outages"],
        crashes=found["crashes"],
        crashes_since=None if since is None else Timestamp(since),
        crashed_after=found["crashed_after"],
        cancelling=bool(found["cancelling"]),
        progress=_read(found["progress"], JobProgress),
        transcript_id=TranscriptId.parse(transcript_id) if transcript_id else None,
        error=_read(error, JobError) if error else None,
        cause=DeathCause(cause) if cause else None,
        callback=found["callback"],
        parent=JobId.parse(parent) if parent else None,
        division=_read(division, Division) if division else None,
    )


def _json(value: object) -> str:
    """In ASCII: the path of a file need not be UTF-8, and is to be the same when it is read."""
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def _read(text: str, kind: type[Kind]) -> Kind:
    try:
        return cast(Kind, _DECODERS[kind].decode(text))
    except msgspec.DecodeError:  # a path that is no UTF-8; this way takes any, and longer
        return msgspec.convert(json.loads(text), kind)
