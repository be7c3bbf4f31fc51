"""Wires the queue: jobs in the database, workers in this process, and bells between them."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from stretto.bootstrap.broker import summons_of
from stretto.bootstrap.clock import now
from stretto.bootstrap.guard import check_callback
from stretto.bootstrap.workshop import FileWorkshop as FileWorkshop
from stretto.bootstrap.workshop import identity_of
from stretto.contexts.database.adapters.outbox import OutboxWriter, SqlOutbox
from stretto.contexts.database.model import Dialect
from stretto.contexts.queue.adapters.bell import LocalBell, PostgresBell
from stretto.contexts.queue.adapters.connections import Clock, MachineClock, ServerClock
from stretto.contexts.queue.adapters.jobs import SqlJobs
from stretto.contexts.queue.adapters.workers import SqlWorkers
from stretto.contexts.queue.dead_letter import DeadLetterHandler
from stretto.contexts.queue.dispatcher import JobDispatcher, Source
from stretto.contexts.queue.embedded import EmbeddedQueue
from stretto.contexts.queue.model import (
    EVERY_QUEUE,
    JobPriority,
    LeaseTerms,
    WorkerNode,
)
from stretto.contexts.queue.service import QueueService
from stretto.contexts.queue.worker import LONGEST_PAUSE_S, Worker

if TYPE_CHECKING:
    from stretto.bootstrap.database import Database
    from stretto.contexts.core.bus import Publish
    from stretto.contexts.queue.ports import Bell
    from stretto.settings import Settings

PAUSE_WITH_BELL_S: Final = 5.0


def build_queue(
    settings: Settings,
    database: Database,
    *,
    publish: Publish,
    bell: Bell | None = None,
    wrote: Callable[[], object] = lambda: None,
    close: Callable[[], None] = lambda: None,
) -> QueueService:
    """The queue of the database; ``wrote`` hears that there may be events to deliver."""
    jobs = jobs_of(database, wrote=wrote)
    summons = summons_of(settings)
    dispatcher = JobDispatcher(
        jobs=jobs,
        bell=bell or LocalBell(),
        publish=publish,
        summon=summons.call if summons else lambda _: None,
        terms=terms_of(settings),
    )

    def shut_down() -> None:
        close()
        if summons:
            summons.close()

    return QueueService(
        dispatcher=dispatcher,
        listed=jobs,
        log=SqlOutbox(database),
        workers=SqlWorkers(database, clock=clock_of(database)),
        dead_letters=DeadLetterHandler(dispatcher=dispatcher, listed=jobs),
        clock=now,
        identity=identity_of,
        check_callback=partial(check_callback, settings),
        close=shut_down,
    )


def build_embedded(
    settings: Settings,
    database: Database,
    *,
    publish: Publish,
    wrote: Callable[[], object],
    workshop: FileWorkshop,
    call_back: Callable[[], None] = lambda: None,
) -> EmbeddedQueue:
    """The queue for a process that does what it submits."""
    service = build_queue(settings, database, publish=publish, wrote=wrote)

    def worker(source: Source) -> Worker:
        return build_worker(
            settings, database, service, workshop, source=source, concurrency=1, queues=()
        )

    return EmbeddedQueue(service, worker=worker, call_back=call_back)


def build_worker(
    settings: Settings,
    database: Database,
    service: QueueService,
    workshop: FileWorkshop,
    *,
    source: Source | None = None,
    concurrency: int,
    queues: tuple[JobPriority, ...] = EVERY_QUEUE,
    stuck: Callable[[], None] = lambda: None,
) -> Worker:
    """Its database is that of ``service``, and so are its bells. One without ``queues`` works for
    its ``source`` alone."""
    jobs = jobs_of(database)
    node = WorkerNode(
        id=uuid.uuid4().hex,
        host=socket.gethostname()[:255],
        pid=os.getpid(),
        concurrency=concurrency,
        queues=queues,
        started_at=now(),
    )
    listens = isinstance(service.dispatcher.bell, PostgresBell)
    return Worker(
        node=node,
        source=source or Source(queues),
        dispatcher=service.dispatcher,
        listed=jobs,
        housekeeping=jobs,
        workers=SqlWorkers(database, clock=clock_of(database)),
        workshop=workshop,
        parts_at_once=workshop.parts_at_once,
        stuck=stuck,
        longest_pause_s=PAUSE_WITH_BELL_S if listens else LONGEST_PAUSE_S,
    )


def terms_of(settings: Settings) -> LeaseTerms:
    """A third of the lease between two signs of life, a sixth between two sweeps."""
    lease_s = float(settings.queue_lease_s)
    return LeaseTerms(
        lease_s=lease_s, beat_s=lease_s / 3, sweep_s=lease_s / 6, look_s=min(1.0, lease_s / 6)
    )


def jobs_of(database: Database, *, wrote: Callable[[], object] = lambda: None) -> SqlJobs:
    """The jobs in a database."""
    return SqlJobs(database, outbox=OutboxWriter(wrote=wrote), clock=clock_of(database))


def clock_of(database: Database) -> Clock:
    return ServerClock() if database.dialect is Dialect.POSTGRESQL else MachineClock()


def listening_bell(settings: Settings) -> Bell:
    """Rings for the jobs of all processes where the database can tell, else for this one's."""
    if settings.database_address is None:
        return LocalBell()
    from stretto.bootstrap.database import build_engine_of_database

    engine = build_engine_of_database(settings)

    def connect() -> Any:
        connection = engine.raw_connection()
        driver: Any = connection.driver_connection
        connection.detach()  # it is closed by whoever listens, and lent to nobody
        driver.autocommit = True
        return driver

    return PostgresBell(connect)
