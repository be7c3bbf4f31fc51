"""A job that is divided, and its parts: what happens to the one when something happens to the
other. Pure functions, whose changes are written in the transaction of what brought them about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from stretto.contexts.core.errors import JobNotInState
from stretto.contexts.core.events import JobDivided, JobPartRetried, JobProgressed, JobQueued
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue import transitions
from stretto.contexts.queue.division import ALMOST, MissingPart, Part
from stretto.contexts.queue.model import (
    Change,
    Divided,
    FileWork,
    Job,
    JobError,
    JobProgress,
    Moment,
)

SPACING_S: Final = 0.001
"""Between the moments from which parts are ready, so that they are claimed in their order."""

CANCELLED: Final = "It was cancelled."


def divided(job: Job, now: Moment, *, fence: int, into: Divided) -> Change | None:
    """Its parts are queued, and it waits until all are over. None without the right to."""
    if job.cancelling or not transitions.is_held(job, fence):
        return transitions.stopped(job, now, fence=fence)
    division = into.division
    progress = JobProgress(
        fraction=_share(into.known_s, division.total_s),
        done_s=into.known_s,
        total_s=division.total_s,
        chunks_done=division.chunks - division.parts,
        chunks_known=division.chunks,
    )
    waiting = replace(
        job, holder="", lease=None, division=division, progress=progress, updated_at=now.at
    )
    parts = tuple(
        _born(job, work, now, before_s=SPACING_S * (len(into.works) - place))
        for place, work in enumerate(into.works)
    )
    event = JobDivided(at=now.at, job_id=job.id, parts=division.parts)
    return Change(waiting, (event, _told(waiting, now)), parts)


def parent_after(parent: Job, before: Job, part: Job, now: Moment) -> Change | None:
    """How the parent is after one of its parts changed; None when that is nothing to it.

    Raises JobNotInState when a part is tried again and its parent cannot wait for it.
    """
    if part.work.part is None:
        return None
    if before.is_over == part.is_over:
        return _told_why(parent, before, part, part.work.part, now)
    if part.is_over:
        return _one_less(parent, part, part.work.part, now)
    return _one_more(parent, part.work.part, now)


def parts_after(before: Job, parent: Job, parts: Iterable[Job], now: Moment) -> tuple[Change, ...]:
    """How its parts are after a parent was cancelled."""
    if before.is_over or parent.status is not JobStatus.CANCELLED:
        return ()
    return tuple(
        change for part in parts if (change := transitions.cancelled(part, now)) is not None
    )


def place_of(part: Job) -> int:
    """In the file: the number of its chunk."""
    return part.work.part.number if part.work.part else 0


def loses_parts(before: Job, after: Job) -> bool:
    """Whether the job begins anew, so that the parts it had are nothing to anybody."""
    return before.division is not None and after.division is None


def _told_why(parent: Job, before: Job, part: Job, place: Part, now: Moment) -> Change | None:
    """Whoever looks at the parent sees why it takes longer."""
    failed = _failures(part) != _failures(before)
    if part.status is not JobStatus.QUEUED or not failed or not parent.is_waiting:
        return None
    error = part.error or JobError(kind="", message="")
    said = replace(
        error, message=f"Chunk {place.number} is to be tried again. {error.message}", trace=""
    )
    event = JobPartRetried(
        at=now.at,
        job_id=parent.id,
        part=place.number,
        delay_s=max(0.0, part.run_at.unix_s - now.at.unix_s),
        reason=error.message,
    )
    return Change(replace(parent, error=said, updated_at=now.at), (event,))


def _one_less(parent: Job, part: Job, place: Part, now: Moment) -> Change | None:
    """With the last one it is ready to be put together."""
    if parent.division is None or not parent.is_waiting:
        return None
    done = part.status is JobStatus.COMPLETED
    division = parent.division.one_less(None if done else _missing(part, place))
    progress = parent.progress
    if done:
        done_s = progress.done_s + place.duration_s
        progress = replace(
            progress,
            done_s=done_s,
            fraction=_share(done_s, division.total_s),
            chunks_done=progress.chunks_done + 1,
        )
    changed = replace(parent, division=division, progress=progress, updated_at=now.at)
    events = (_told(changed, now),) if done else ()
    if division.open:
        return Change(changed, events)
    return Change(transitions.moved(changed, JobStatus.QUEUED, now, error=None), events)


def _one_more(parent: Job, place: Part, now: Moment) -> Change:
    if parent.lease is not None:
        raise JobNotInState(
            f"The parts of the job {parent.id} are being put together just now; try the part again "
            "when that is done."
        )
    if parent.division is None or parent.status is JobStatus.CANCELLED:
        raise JobNotInState(f"It is a part of the job {parent.id}; try that one again.")
    division = parent.division.one_more(place.number)
    share = _share(parent.progress.done_s, division.total_s)
    waiting = replace(parent, division=division, progress=replace(parent.progress, fraction=share))
    if not parent.is_waiting:
        waiting = transitions.moved(
            waiting, JobStatus.PROCESSING, now, holder="", lease=None, error=None, cause=None
        )
    return Change(waiting, (_told(waiting, now),))


def _missing(part: Job, place: Part) -> MissingPart:
    reason = CANCELLED if part.error is None else part.error.message
    return MissingPart(number=place.number, reason=reason)


def _born(parent: Job, work: FileWork, now: Moment, *, before_s: float) -> Change:
    number = work.part.number if work.part else 0
    part = Job(
        id=JobId.new(),
        file=parent.file,
        work=work,
        work_key=f"{parent.work_key}:{number}",
        priority=parent.priority,
        created_at=now.at,
        updated_at=now.at,
        run_at=Timestamp(now.at.unix_s - before_s),
        parent=parent.id,
    )
    return Change(part, (JobQueued(at=now.at, job_id=part.id, file=part.file),))


def _share(done_s: float, total_s: float) -> float:
    return min(ALMOST, done_s / total_s) if total_s > 0 else 0.0


def _told(job: Job, now: Moment) -> JobProgressed:
    return transitions.progress_event(job, job.progress, now)


def _failures(job: Job) -> tuple[int, int, int]:
    return job.errors, job.outages, job.crashes
