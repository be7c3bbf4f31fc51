"""The in-memory twins of the queue: its jobs, its workers, its clock and what happened."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any

from stretto.contexts.core.errors import KeyReused, UnknownJob
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import FileHash, JobId, Timestamp, TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue import family
from stretto.contexts.queue.model import (
    Change,
    Job,
    JobPriority,
    Lease,
    Look,
    Moment,
    Submission,
    Wanted,
    WorkerNode,
)
from stretto.contexts.queue.transitions import accepted


class FakeDatabaseClock:
    """Stands still until it is told to go on; ``boot`` is another one after a restart."""

    def __init__(self, unix_s: float = 1_000_000.0) -> None:
        self.unix_s = unix_s
        self.boot = "boot 1"

    def read(self, _: object = None, /) -> Moment:
        return Moment(Timestamp(self.unix_s), self.unix_s, self.boot)

    def advance(self, seconds: float) -> None:
        self.unix_s += seconds


@dataclass(frozen=True, slots=True)
class Logged:
    number: int
    event: DomainEvent


class MemoryQueue:
    """Satisfies JobQueue, JobList, Housekeeping, Workers and EventLog for as long as it lives.

    ``trouble`` is raised by everything that would write, as long as there is one.
    """

    def __init__(self, clock: FakeDatabaseClock) -> None:
        self.clock = clock
        self.trouble: Exception | None = None
        self.history: dict[str, list[Logged]] = {}
        self._jobs: dict[JobId, Job] = {}
        self._busy_keys: Counter[str] = Counter()
        self._keys: dict[str, tuple[JobId, str]] = {}
        self._nodes: dict[str, tuple[WorkerNode, Lease]] = {}
        self._numbers = itertools.count(1)
        self._lock = RLock()

    def add(self, submission: Submission) -> Change:
        with self._writing() as now:
            known = self._keys.get(submission.key) if submission.key else None
            if known and now.at.unix_s - self._jobs[known[0]].created_at.unix_s <= 24 * 3600:
                if known[1] != submission.digest:
                    raise KeyReused(f"The idempotency key {submission.key!r} is of another one.")
                return Change(self._jobs[known[0]])
            if submission.key:
                self._keys[submission.key] = (submission.job.id, submission.digest)
            return self._write(accepted(submission.job, now))

    def claim(
        self,
        looks: Sequence[Look],
        *,
        take: Callable[[Job, Moment], Change],
        suspects: bool = True,
        only: JobId | None = None,
    ) -> Change | None:
        with self._writing() as now:
            waiting = sorted(filter(self._is_free, self._jobs.values()), key=_turn)
            for look in looks if only is None else [Look(queues=tuple(JobPriority))]:
                for job in waiting:
                    ready = job.run_at.unix_s <= now.at.unix_s - look.waited_s
                    wanted = only in {None, job.id} and (suspects or not job.is_suspect)
                    if ready and wanted and job.priority in look.queues:
                        return self._write(take(job, now))
            return None

    def change(
        self,
        job_id: JobId,
        decide: Callable[[Job, Moment], Change | None],
        *,
        alongside: Callable[[], None] | None = None,
    ) -> Change | None:
        with self._writing() as now:
            if job_id not in self._jobs:
                raise UnknownJob(f"There is no job {job_id}.")
            before = self._jobs[job_id]
            change = decide(before, now)
            if change is None:
                return None
            parent = self._jobs.get(before.parent) if before.parent else None
            brought = self._brought(before, change.job, parent, now)
            if alongside is not None:
                alongside()
            if family.loses_parts(before, change.job):
                self._forget_parts(job_id)
            for one in (*change.all(), *brought):
                self._write(one)
            return replace(change, besides=(*change.besides, *brought))

    def _brought(
        self, before: Job, job: Job, parent: Job | None, now: Moment
    ) -> tuple[Change, ...]:
        after = family.parent_after(parent, before, job, now) if parent else None
        besides = (after,) if after else ()
        if job.division is None or not job.is_over:
            return besides
        return (*besides, *family.parts_after(before, job, self.parts_of(job.id), now))

    def _forget_parts(self, parent: JobId) -> None:
        for part in self.parts_of(parent):
            self._busy_keys[part.work_key] -= part.status is JobStatus.PROCESSING
            self.history.pop(str(part.id), None)
            del self._jobs[part.id]

    def delete(self, job_id: JobId) -> bool:
        with self._writing():
            if job_id not in self._jobs or not self._jobs[job_id].is_over:
                return False
            self.history.pop(str(job_id), None)
            self._keys = {k: v for k, v in self._keys.items() if v[0] != job_id}
            self._forget_parts(job_id)
            del self._jobs[job_id]
            return True

    def delete_of(self, transcript_id: TranscriptId) -> int:
        found = [job.id for job in self._jobs.values() if job.transcript_id == transcript_id]
        return sum(self.delete(job_id) for job_id in found)

    def get(self, job_id: JobId) -> Job | None:
        return self._jobs.get(job_id)

    def parts_of(self, job_id: JobId) -> tuple[Job, ...]:
        parts = (job for job in self._jobs.values() if job.parent == job_id)
        return tuple(sorted(parts, key=family.place_of))

    def page(self, wanted: Wanted) -> tuple[Job, ...]:
        def place(job: Job) -> tuple[float, str]:
            return job.created_at.unix_s, str(job.id)

        rows = sorted(self._jobs.values(), key=place, reverse=True)
        rows = [job for job in rows if wanted.status in (None, job.status)]
        dead = wanted.status is JobStatus.FAILED
        rows = [job for job in rows if job.parent is None or dead]
        after = wanted.after
        rows = [job for job in rows if after is None or place(job) < place(after)]
        return tuple(rows[: wanted.limit])

    def need(self, file_hash: FileHash, *, owner: str) -> bool:
        whole = (job for job in self._jobs.values() if job.owner == owner and not job.is_over)
        return any(f"/{file_hash}/" in job.work.path for job in whole)

    def held_by(self, holder: str) -> tuple[Job, ...]:
        return tuple(
            job
            for job in self._jobs.values()
            if job.holder == holder and job.status is JobStatus.PROCESSING
        )

    def first(self, look: Look) -> Job | None:
        return next(iter(self._found(look)), None)

    def waits(self, look: Look) -> bool:
        return any(not job.is_suspect for job in self._found(look))

    def _found(self, look: Look) -> list[Job]:
        with self._lock:
            ready = self.clock.unix_s - look.waited_s
            free = [job for job in self._jobs.values() if self._is_free(job)]
            return sorted(
                (j for j in free if j.priority in look.queues and j.run_at.unix_s <= ready),
                key=lambda job: (look.queues.index(job.priority), _turn(job)),
            )

    def soonest_s(self, queues: Sequence[JobPriority]) -> float | None:
        with self._lock:
            ready = [
                job.run_at.unix_s
                for job in self._jobs.values()
                if job.status is JobStatus.QUEUED and job.priority in queues
            ]
            return min(ready) - self.clock.unix_s if ready else None

    def expired(self, limit: int) -> tuple[JobId, ...]:
        with self._lock:
            now = self.clock.read()
            over = [job for job in self._jobs.values() if job.lease and job.lease.is_over(now)]
            over.sort(key=lambda job: job.lease.until_s if job.lease else 0.0)
            return tuple(job.id for job in over[:limit])

    def renew(self, held: Sequence[tuple[JobId, int]], lease: Callable[[Moment], Lease]) -> None:
        with self._writing() as now:
            for job_id, fence in held:
                job = self._jobs.get(job_id)
                if job and job.fence == fence and job.lease is not None:
                    self._write(Change(replace(job, lease=lease(now))))

    def hasten(self, most_s: float) -> bool:
        with self._writing() as now:
            waiting = [job for job in self._jobs.values() if job.status is JobStatus.QUEUED]
            late = False
            for queue in JobPriority:
                same = [job for job in waiting if job.priority is queue]
                ahead = max((job.run_at.unix_s - now.at.unix_s for job in same), default=0.0)
                for job in same if ahead > most_s else []:
                    if job.run_at.unix_s > now.at.unix_s + most_s:
                        late = True
                        at = Timestamp(job.run_at.unix_s - ahead)
                        self._write(Change(replace(job, run_at=at)))
            return late

    def beat(self, node: WorkerNode, lease: Callable[[Moment], Lease]) -> None:
        with self._writing() as now:
            self._nodes[node.id] = (node, lease(now))

    def leave(self, worker: str) -> None:
        with self._writing():
            self._nodes.pop(worker, None)

    def alive(self) -> tuple[WorkerNode, ...]:
        now = self.clock.read()
        self._nodes = {k: v for k, v in self._nodes.items() if not v[1].is_over(now)}
        return tuple(
            sorted((node for node, _ in self._nodes.values()), key=lambda n: (n.started_at, n.id))
        )

    def since(self, stream: str, *, after: int, limit: int) -> Sequence[Logged]:
        return [e for e in self.history.get(stream, []) if e.number > after][:limit]

    def all_since(self, *, after: int, limit: int) -> Sequence[Logged]:
        everything = (event for events in self.history.values() for event in events)
        found = sorted(everything, key=lambda event: event.number)
        return [event for event in found if event.number > after][:limit]

    def newest(self) -> int:
        return max(
            (event.number for events in self.history.values() for event in events), default=0
        )

    def _is_free(self, job: Job) -> bool:
        """Queued, and nobody does the same."""
        if job.status is not JobStatus.QUEUED:
            return False
        return not self._busy_keys.get(job.work_key)

    def _write(self, change: Change) -> Change:
        before = self._jobs.get(change.job.id)
        busy = change.job.status is JobStatus.PROCESSING
        busier = busy - bool(before and before.status is JobStatus.PROCESSING)
        self._busy_keys[change.job.work_key] += busier
        self._jobs[change.job.id] = change.job
        log = self.history.setdefault(str(change.job.id), [])
        log += [Logged(next(self._numbers), event) for event in change.events]
        return change

    def _writing(self) -> Any:
        queue = self

        class Writing:
            def __enter__(self) -> Moment:
                queue._lock.acquire()
                if queue.trouble is not None:
                    queue._lock.release()
                    raise queue.trouble
                return queue.clock.read()

            def __exit__(self, *_: object) -> None:
                queue._lock.release()

        return Writing()


def _turn(job: Job) -> tuple[float, str]:
    return job.run_at.unix_s, str(job.id)
