"""Jobs to order, for the tests of the queue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.queue.division import Division, Part
from stretto.contexts.queue.model import Divided, FileWork, Job, Lease, Moment, Submission

ORIGIN = Timestamp(1_000_000.0)


def job_id(number: int) -> JobId:
    return JobId(UUID(int=number))


def a_job(number: int = 1, **given: Any) -> Job:
    usual: dict[str, Any] = {
        "id": job_id(number),
        "file": f"talk {number}.mp3",
        "work": FileWork(path=f"/talks/talk {number}.mp3"),
        "work_key": f"work {number}",
        "created_at": ORIGIN,
        "updated_at": ORIGIN,
        "run_at": ORIGIN,
    }
    return Job(**(usual | given))


def a_submission(number: int = 1, *, key: str = "", digest: str = "", **given: Any) -> Submission:
    return Submission(job=a_job(number, **given), key=key, digest=digest)


def in_parts(job: Job, count: int, *, each_s: float = 10.0) -> Divided:
    """As many parts of ten seconds; nothing of it was known."""
    works = tuple(
        replace(
            job.work,
            part=Part(
                number=number, start_s=each_s * number, end_s=each_s * (number + 1), plan="a plan"
            ),
        )
        for number in range(count)
    )
    division = Division(
        plan="a plan", parts=count, open=count, chunks=count, total_s=each_s * count
    )
    return Divided(division=division, works=works)


def at(seconds: float, *, boot: str = "boot 1") -> Moment:
    """So many seconds after the beginning."""
    unix_s = ORIGIN.unix_s + seconds
    return Moment(Timestamp(unix_s), unix_s, boot)


def until(seconds: float, *, boot: str = "boot 1") -> Lease:
    return Lease(ORIGIN.unix_s + seconds, boot)
