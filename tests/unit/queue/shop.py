"""Workers to order over a queue, and a workshop whose jobs do as their file's name says."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import Cancelled, MediaNotFound, StorageFull
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import JobId, Timestamp, TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.adapters.bell import LocalBell
from stretto.contexts.queue.dispatcher import JobDispatcher, Source
from stretto.contexts.queue.model import EVERY_QUEUE, Job, JobProgress, LeaseTerms, WorkerNode
from stretto.contexts.queue.policy import RetryPolicy
from stretto.contexts.queue.ports import Bell
from stretto.contexts.queue.retry import RetryHandler
from stretto.contexts.queue.worker import Worker
from tests.queues import Queue

SOON_S = 10.0
FAST = LeaseTerms(lease_s=2.0, beat_s=0.2, sweep_s=0.1, look_s=0.05)


class ScriptedWorkshop:
    """What a job does is in its file's name: ``good``, ``missing``, ``full``, ``bug``; ``held``
    waits for ``released``, to be let go by itself or to be stopped, ``deaf`` for ``released``
    alone."""

    def __init__(self) -> None:
        self.begun: Counter[JobId] = Counter()
        self.kept: list[TranscriptId] = []
        self.together = self.most_together = 0
        self.entered, self.released = threading.Semaphore(0), threading.Event()
        self.let_go: set[JobId] = set()
        self.lock = threading.Lock()

    def begin(
        self,
        job: Job,
        *,
        progressed: Callable[[JobProgress], None],
        complete: Callable[[TranscriptId, Callable[[], None]], None],
        last: bool,
    ) -> ScriptedTask:
        self.begun[job.id] += 1
        return ScriptedTask(self, job, progressed, complete)


class ScriptedTask:
    def __init__(self, shop: ScriptedWorkshop, job: Job, progressed: Any, complete: Any) -> None:
        self.shop, self.job = shop, job
        self.progressed, self.complete = progressed, complete
        self.stopped = threading.Event()

    def run(self) -> None:
        with self.shop.lock:
            self.shop.together += 1
            self.shop.most_together = max(self.shop.most_together, self.shop.together)
        self.shop.entered.release()
        try:
            self.suffer(self.job.file.split()[0])
            if self.job.parent is not None:
                self.complete(None, lambda: None)
                return
            transcript = TranscriptId.new()
            self.complete(transcript, lambda: self.shop.kept.append(transcript))
        finally:
            with self.shop.lock:
                self.shop.together -= 1

    def suffer(self, kind: str) -> None:
        if kind == "missing":
            raise MediaNotFound("There is no file \udcff.")
        if kind == "full":
            raise StorageFull
        if kind == "bug":
            raise ValueError("a bug")
        self.progressed(JobProgress(fraction=0.5, done_s=1.0, total_s=2.0, chunks_done=1))
        while kind in {"held", "deaf"} and not self.shop.released.wait(0.005):
            if kind == "held" and self.job.id in self.shop.let_go:
                return
            if self.stopped.is_set() and kind == "held":
                raise Cancelled

    def stop(self) -> None:
        self.stopped.set()


class Crew:
    """Workers over one queue, each in a thread of its own."""

    def __init__(self, queue: Queue, *, terms: LeaseTerms = FAST) -> None:
        self.queue = queue
        self.workshop = ScriptedWorkshop()
        self.events: list[DomainEvent] = []
        self.bus = EventBus()
        self.bus.subscribe(DomainEvent, self.events.append)
        self.terms = terms
        self.hired: list[tuple[Worker, threading.Thread]] = []

    def worker(
        self, *, concurrency: int = 1, name: str = "", bell: Bell | None = None, **given: Any
    ) -> Worker:
        dispatcher = JobDispatcher(
            jobs=self.queue.jobs,
            bell=bell or LocalBell(),
            publish=self.bus.publish,
            terms=self.terms,
        )
        node = WorkerNode(
            id=name or f"worker {len(self.hired)}",
            host="here",
            pid=1,
            concurrency=concurrency,
            queues=EVERY_QUEUE,
            started_at=Timestamp(1.0),
        )
        usual: dict[str, Any] = {
            "source": Source(),
            "workshop": self.workshop,
            "retries": RetryHandler(policy=RetryPolicy(dice=lambda: 0.0)),
            "grace_s": 5.0,
        }
        return Worker(
            node=node,
            dispatcher=dispatcher,
            listed=self.queue.jobs,
            housekeeping=self.queue.jobs,
            workers=self.queue.workers,
            **(usual | given),
        )

    def hire(self, **given: Any) -> Worker:
        worker = self.worker(**given)
        thread = threading.Thread(target=worker.run, daemon=True)
        self.hired.append((worker, thread))
        worker.register()
        thread.start()
        return worker

    def dismiss(self) -> None:
        self.workshop.released.set()
        for worker, _ in self.hired:
            worker.abandon()
        for _, thread in self.hired:
            thread.join(SOON_S)
            assert not thread.is_alive()

    def thread_of(self, worker: Worker) -> threading.Thread:
        return next(thread for one, thread in self.hired if one is worker)

    def status(self, job_id: JobId) -> JobStatus:
        job = self.queue.jobs.get(job_id)
        assert job is not None
        return job.status


def until(holds: Callable[[], bool], *, seconds: float = SOON_S) -> None:
    """Waits for what is to happen; fails when it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
