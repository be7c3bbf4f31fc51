"""Shows jobs, dead letters and workers, and does with them what was typed."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from stretto.contexts.core.errors import InvalidOption, JobNotInState
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.division import Division
from stretto.contexts.queue.model import DeathCause, Job, Wanted, WorkerNode
from stretto.contexts.queue.service import QueueService
from stretto.interfaces.cli.exit_codes import ExitCode
from stretto.interfaces.cli.printing import printable, printable_lines
from stretto.interfaces.cli.transcripts import moment

NO_WORKER: Final = "No worker is running. Start one: stretto worker"
NONE_GIVEN_UP: Final = "No job was given up."
CAUSES: Final = {
    DeathCause.REFUSED: "another try would not help",
    DeathCause.ERRORS: "it failed too often",
    DeathCause.CRASHES: "too many workers died on it",
}


def list_jobs(
    queue: QueueService, *, status: str | None, limit: int, after: str | None, as_json: bool
) -> None:
    """The newest first: a line with tabs for each."""
    last = queue.get(JobId.parse(after)) if after else None
    page = queue.page(Wanted(limit=limit, status=_status(status), after=last))
    if as_json:
        more = str(page[-1].id) if len(page) == limit else None
        print(json.dumps({"jobs": [as_document(job) for job in page], "next": more}))
        return
    for job in page:
        share = f"{job.progress.fraction:.0%}"
        cells = (str(job.id), moment(job.created_at.unix_s), job.status, str(job.priority), share)
        print("\t".join((*cells, _named(job), *_trouble(job))))
    if not page:
        print(NONE_GIVEN_UP if status == JobStatus.FAILED else "No such job.", file=sys.stderr)
    if len(page) == limit:
        print(f"There may be more; go on with --after {page[-1].id}", file=sys.stderr)


def show_job(queue: QueueService, job_id: str, *, as_json: bool) -> None:
    job = queue.get(JobId.parse(job_id))
    if as_json:
        print(json.dumps(as_document(job)))
        return
    for name, value in (*_described(job), *_waiting(job, queue)):
        print(f"{name + ':':<12} {value}")


def show_dead_letter(queue: QueueService, job_id: str, *, as_json: bool) -> None:
    """Raises JobNotInState unless it failed."""
    job = queue.get(JobId.parse(job_id))
    if job.status is not JobStatus.FAILED:
        raise JobNotInState(f"The job {job.id} is {job.status}; it was not given up.")
    trace = job.error.trace if job.error else ""
    if as_json:
        print(json.dumps({**as_document(job), "trace": trace}))
        return
    show_job(queue, job_id, as_json=False)
    if trace:
        print("\n" + printable_lines(trace))


def watch_job(queue: QueueService, job_id: str, *, after: int, as_json: bool) -> int:
    """A line for each event until the job is over; with its number, to go on from there."""
    found = JobId.parse(job_id)
    if not queue.get(found).is_over:
        hint_without_workers(queue)
    for heard in queue.follow(found, after=after):
        if as_json:
            print(json.dumps({"number": heard.number, **event_document(heard.event)}), flush=True)
            continue
        fields = event_document(heard.event)
        said = " ".join(
            f"{name}={_short(value)}"
            for name, value in fields.items()
            if name not in {"event", "at", "job_id"} and value is not None
        )
        cells = (str(heard.number), moment(heard.event.at.unix_s), fields["event"], said)
        print("\t".join(cells).rstrip(), flush=True)
    completed = queue.get(found).status is JobStatus.COMPLETED
    return ExitCode.COMPLETE if completed else ExitCode.FAILED


def cancel_jobs(queue: QueueService, ids: Sequence[str], *, as_json: bool) -> None:
    for job_id in _checked(queue, ids):
        job = queue.cancel(job_id)
        stopping = job.status is JobStatus.PROCESSING
        _say(job, "is being stopped" if stopping else f"is {job.status}", as_json=as_json)


def retry_jobs(queue: QueueService, ids: Sequence[str], *, as_json: bool) -> None:
    for job_id in _checked(queue, ids):
        _say(queue.retry(job_id), "is queued again", as_json=as_json)
    if ids:
        hint_without_workers(queue)


def purge_jobs(queue: QueueService, ids: Sequence[str], *, as_json: bool) -> None:
    for job_id in _checked(queue, ids):
        job = queue.get(job_id)
        queue.dead_letters.purge(job_id)
        _say(job, "is forgotten", as_json=as_json)


def dead_letters(queue: QueueService, ids: Sequence[str], *, every: bool) -> list[str]:
    """The ids that were given, or all there are. Raises InvalidOption for both and for neither."""
    if bool(ids) == every:
        raise InvalidOption("Name the jobs by their ids, or say --all.")
    if not every:
        return list(ids)
    found = [str(job.id) for job in queue.dead_letters.all()]
    if not found:
        print(NONE_GIVEN_UP, file=sys.stderr)
    return found


def hint_without_workers(queue: QueueService) -> None:
    """Somebody may wait for what nobody does."""
    if not any(node.queues for node in queue.nodes()):
        print(NO_WORKER, file=sys.stderr)


def show_workers(queue: QueueService, *, as_json: bool) -> None:
    nodes = queue.nodes()
    if as_json:
        print(json.dumps({"workers": [_node_document(node) for node in nodes]}))
        return
    for node in nodes:
        queues = ",".join(str(one) for one in node.queues) or "its own"
        hands = f"{node.running}/{node.concurrency}"
        since = moment(node.started_at.unix_s)
        place = f"{printable(node.host)}:{node.pid}"
        print("\t".join((node.id, place, hands, queues, node.state, since)))
    if not nodes:
        print(NO_WORKER, file=sys.stderr)


def as_document(job: Job) -> dict[str, Any]:
    """The job for programs."""
    return {
        "id": str(job.id),
        "file": job.file,
        "path": printable(job.work.path),
        "status": job.status.value,
        "priority": str(job.priority),
        "progress": dataclasses.asdict(job.progress),
        "attempts": job.attempts,
        "errors": job.errors,
        "outages": job.outages,
        "crashes": job.crashes,
        "transcript_id": str(job.transcript_id) if job.transcript_id else None,
        "error": {"kind": job.error.kind, "message": job.error.message} if job.error else None,
        "cause": job.cause.value if job.cause else None,
        "worker": job.holder or None,
        "parent": str(job.parent) if job.parent else None,
        "part": job.work.part.number if job.work.part else None,
        "parts": _parts_document(job.division) if job.division else None,
        "created_at": job.created_at.unix_s,
        "updated_at": job.updated_at.unix_s,
        "run_at": job.run_at.unix_s,
    }


def _parts_document(division: Division) -> dict[str, Any]:
    missing = [{"part": one.number, "reason": one.reason} for one in division.missing]
    return {"total": division.parts, "open": division.open, "missing": missing}


def event_document(event: DomainEvent) -> dict[str, Any]:
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
    plain = {name: _plain(value) for name, value in fields.items()}
    return {"event": type(event).__name__, **plain, "at": event.at.unix_s}


def _plain(value: Any) -> Any:
    """For a line: of segments, only the text."""
    if isinstance(value, tuple):
        return " ".join(segment.text.strip() for segment in value)
    return value if isinstance(value, str | int | float | None) else str(value)


def _node_document(node: WorkerNode) -> dict[str, Any]:
    document = dataclasses.asdict(node)
    queues = [str(queue) for queue in node.queues]
    return {**document, "queues": queues, "started_at": node.started_at.unix_s}


def _described(job: Job) -> Iterable[tuple[str, str]]:
    progress = job.progress
    yield "id", str(job.id)
    yield "file", printable(job.work.path or job.file)
    yield "status", job.status + (" (being stopped)" if job.cancelling else "")
    yield "priority", str(job.priority)
    yield "progress", f"{progress.fraction:.0%}, {progress.chunks_done} chunks done"
    yield "submitted", moment(job.created_at.unix_s)
    counted = (
        _counted(job.errors, "error"),
        _counted(job.outages, "outage"),
        _counted(job.crashes, "crash", "crashes"),
    )
    yield "attempts", f"{job.attempts} ({', '.join(counted)})"
    if job.work.part and job.parent:
        yield "part", f"chunk {job.work.part.number} of the job {job.parent}"
    if job.division:
        yield "parts", f"{job.division.parts}, {job.division.open} of them not over"
        for one in job.division.missing:
            yield "missing", f"chunk {one.number}: {printable(one.reason)}"
    if job.holder:
        yield "worker", job.holder
    if job.transcript_id:
        yield "transcript", str(job.transcript_id)
    if job.error:
        yield "error", printable(job.error.message)
    if job.cause:
        yield "given up", f"{job.cause}: {CAUSES[job.cause]}"


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _named(job: Job) -> str:
    chunk = f" (chunk {job.work.part.number})" if job.work.part else ""
    return printable(job.file) + chunk


def _trouble(job: Job) -> Iterable[str]:
    """Why it was given up, or takes longer."""
    if job.error and job.status is not JobStatus.COMPLETED:
        yield printable(job.error.message)


def _short(value: object) -> str:
    """Example: 2.946047067642212 is ``2.95``."""
    return f"{round(value, 2):g}" if isinstance(value, float) else printable(str(value))


def _waiting(job: Job, queue: QueueService) -> Iterable[tuple[str, str]]:
    """What is to be tried again, and when."""
    for part in queue.listed.parts_of(job.id) if job.is_waiting else (job,):
        if part.status is JobStatus.QUEUED and part.error and part.run_at.unix_s > time.time():
            chunk = f"chunk {part.work.part.number} " if part.work.part and part is not job else ""
            yield "waits", f"{chunk}until {moment(part.run_at.unix_s)}, then it is tried again"


def _checked(queue: QueueService, ids: Sequence[str]) -> list[JobId]:
    """If one of them is wrong, nothing is done with any. Raises UnknownJob."""
    found = [JobId.parse(one) for one in dict.fromkeys(ids)]
    for job_id in found:
        queue.get(job_id)
    return found


def _say(job: Job, what: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"id": str(job.id), "status": job.status.value, "said": what}))
    else:
        print(f"{job.id} {what} ({printable(job.file)})")


def _status(text: str | None) -> JobStatus | None:
    if text is None:
        return None
    try:
        return JobStatus(text.lower())
    except ValueError as cause:
        allowed = ", ".join(JobStatus)
        raise InvalidOption(f"A status is one of {allowed}, not {text[:32]!r}.") from cause
