"""Celery workers that are called through a broker, killed, stopped and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stretto.bootstrap.database import build_database
from stretto.bootstrap.queueing import build_queue, clock_of
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.adapters.celery_broker import CeleryMessages
from stretto.contexts.queue.adapters.celery_ready import SqlReadyJobs
from stretto.contexts.queue.model import EVERY_QUEUE, FileWork, JobPriority
from stretto.contexts.queue.summons import Caller, Summons
from tests.caches import RedisServer
from tests.chaos.fleet import ENGLISH, HOUSE, Fleet, until
from tests.conftest import Place
from tests.rabbitmq import RabbitServer
from tests.servers import settings_of

SOON_S = 60.0
Broker = RedisServer | RabbitServer


def names(count: int) -> list[str]:
    return [f"talk-{number}" for number in range(count)]


@dataclass
class CeleryFleet(Fleet):
    """``pool`` and ``concurrency`` are those of each worker; their logs lie beside the ledger."""

    broker: str = ""
    pool: str = "threads"
    queues: str = "stretto.high,stretto.medium,stretto.low"

    def submit_as(self, priority: JobPriority, *names: str) -> list[JobId]:
        works = [FileWork(path=f"/nowhere/{name}.wav", options=ENGLISH) for name in names]
        return [self.queue.submit(work, priority=priority).id for work in works]

    def submit_unheard(self, name: str) -> JobId:
        """A job whose message is lost, as when whoever fetches it dies before it says so."""
        silent = build_queue(settings_of(self.place), self.database, publish=EventBus().publish)
        return silent.submit(FileWork(path=f"/nowhere/{name}.wav", options=ENGLISH)).id

    def wait(self, seconds: float = SOON_S, meanwhile: Callable[[], None] = lambda: None) -> None:
        until(self.are_over, seconds=seconds, meanwhile=meanwhile)

    def open(self) -> int:
        """Jobs that are not over."""
        return sum(not job.is_over for job in self.jobs().values())

    def wait_for_calls(self, count: int) -> None:
        """Until the engine was called so often."""
        until(lambda: sum(self.calls().values()) >= count, seconds=SOON_S, meanwhile=lambda: None)

    def messages(self) -> CeleryMessages:
        return CeleryMessages(self.broker)

    def waiting(self) -> int:
        """Messages at the broker."""
        messages = self.messages()
        try:
            return sum(messages.count(priority) for priority in JobPriority)
        finally:
            messages.close()

    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.ledger.parent.glob("worker-*")))

    def dismiss(self) -> None:
        for worker in self.crew:
            if worker.poll() is None:  # with its children
                os.killpg(worker.pid, signal.SIGKILL)
        super().dismiss()
        self.queue.close()

    def _started(self) -> subprocess.Popen[str]:
        place = {"STRETTO_HOME": str(self.place)}
        if not isinstance(self.place, Path):
            place = {"STRETTO_HOME": "/nonexistent", "STRETTO_DATABASE_URL": self.place.url}
        environment = {
            **os.environ,
            **place,
            "PYTHONPATH": f"{HOUSE}:{HOUSE / 'src'}",
            **self.environment,
            "STRETTO_BROKER_URL": self.broker,
            "STRETTO_QUEUE_LEASE_S": str(self.lease_s),
            "STRETTO_TEST_LEDGER": str(self.ledger),
            "STRETTO_TEST_CHUNK_S": str(self.chunk_s),
        }
        number = len(list(self.ledger.parent.glob("worker-*")))
        options = ("-Q", self.queues, "-P", self.pool, "-c", str(self.concurrency))
        own = ("-n", f"worker-{number}@%h", "-l", "INFO", "--without-mingle", "--without-gossip")
        with (self.ledger.parent / f"worker-{number}.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.celery_worker", *options, *own],
                cwd=HOUSE,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )


@contextmanager
def calling(fleet: CeleryFleet, *, every_s: float) -> Iterator[None]:
    """What a machine with workers does beside them: calls again for what nobody was called for."""
    summons = Summons(messages=fleet.messages())
    ready = SqlReadyJobs(fleet.database, clock=clock_of(fleet.database))
    caller = Caller(summons=summons, ready=ready, queues=EVERY_QUEUE, every_s=every_s)
    caller.start()
    try:
        yield
    finally:
        caller.end()
        for thread in threading.enumerate():
            if thread.name == "caller":
                thread.join(SOON_S)
        summons.close()


@contextmanager
def celery_fleet(place: Place, folder: Path, broker: str, **given: object) -> Iterator[CeleryFleet]:
    """One worker in a pool of threads, two jobs at once, unless ``given`` says otherwise."""
    options = {"count": 1, "lease_s": 3, "broker": broker, **given}
    settings = settings_of(place, queue_lease_s=options["lease_s"], broker_url=broker)
    database = build_database(settings)
    queue = build_queue(settings, database, publish=EventBus().publish)
    fleet = CeleryFleet(place, folder / "ledger", database, queue, **options)  # type: ignore[arg-type]
    try:
        yield fleet
    except BaseException:
        print(fleet.log()[-8000:])
        raise
    finally:
        fleet.dismiss()
        database.close()
