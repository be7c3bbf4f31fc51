"""The fleet's Celery for tests: the program's own, but with recordings that are made up from their
names, and an engine that writes each call into a ledger outside.

STRETTO_TEST_LEDGER and STRETTO_TEST_CHUNK_S say where the ledger is and how long a chunk takes;
STRETTO_TEST_VISIBILITY_S after how long Redis delivers again what nobody acknowledged.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import signals

from stretto.bootstrap import load_settings
from stretto.bootstrap.caching import build_caching
from stretto.bootstrap.database import build_database
from stretto.bootstrap.fleet import Wiring, celery_of
from stretto.bootstrap.queueing import FileWorkshop, build_queue, build_worker
from stretto.contexts.core.bus import EventBus
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.queue.called import CalledSource, CalledWorker
from stretto.contexts.queue.model import JobPriority
from stretto.interfaces.celery_worker import FleetProcess
from tests.chaos.worker import LedgerEngine, a_service


class LedgerWiring(Wiring):
    """As for every worker, but for what transcribes."""

    def called_worker(self, *, concurrency: int, queues: tuple[JobPriority, ...]) -> CalledWorker:
        settings = self.settings
        database, events = build_database(settings), EventBus()
        engine = LedgerEngine(
            Path(os.environ["STRETTO_TEST_LEDGER"]), float(os.environ["STRETTO_TEST_CHUNK_S"])
        )
        cache = build_caching(settings, database, events).cache
        transcripts = SqlTranscriptStore(database, outbox=OutboxWriter())
        processing = a_service(engine, cache, transcripts, events)
        service = build_queue(settings, database, publish=events.publish)
        workshop = FileWorkshop(
            settings, processing, with_engine=lambda _: processing, divides=True, patient=True
        )
        source = CalledSource(queues)
        worker = build_worker(
            settings,
            database,
            service,
            workshop,
            source=source,
            concurrency=concurrency,
            queues=queues,
        )
        return CalledWorker(worker, source)


wiring = LedgerWiring(load_settings())
app = celery_of(wiring.settings, (__name__,))
FleetProcess(wiring).attach(app)
if "STRETTO_TEST_VISIBILITY_S" in os.environ:
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "visibility_timeout": float(os.environ["STRETTO_TEST_VISIBILITY_S"]),
    }


@signals.worker_ready.connect
def say_so(**_: Any) -> None:
    os.write(1, b"ready\n")
