"""Writes the text of jobs into their logs while it is recognised, for those who read along."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Final

from stretto.bootstrap.clock import now
from stretto.contexts.core.errors import Unavailable
from stretto.contexts.core.events import JobTextHeard
from stretto.contexts.core.transcript import Segment
from stretto.contexts.database.adapters.outbox import OutboxWriter

if TYPE_CHECKING:
    from stretto.contexts.queue.adapters.connections import Connection, Database, Outbox
    from stretto.contexts.queue.model import Job

PAUSE_S: Final = 0.3
"""Between two writes: each is a transaction on the disk."""

MOST_SEGMENTS: Final = 500
"""In one event."""

_HOLD: Final = "SELECT 1 FROM queue_job WHERE id = :id FOR UPDATE"
"""As whoever changes the job does: so the events of a job are there in the order of their numbers.
Otherwise a listener may hear the later one first, and asks for what comes behind it."""

logger = logging.getLogger(__name__)


class TextLog:
    """Where the text of all jobs of a worker goes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._outbox: Outbox = OutboxWriter()

    def of(self, job: Job) -> JobText:
        return JobText(self, job)

    def append(self, event: JobTextHeard) -> None:
        """Raises Unavailable."""
        stream = str(event.job_id)

        def work(connection: Connection) -> None:
            if self._database.dialect == "postgresql":
                connection.execute(_HOLD, {"id": stream})
            self._outbox.append(connection, stream, event)

        self._database.transact(work)


class JobText:
    """The text of one attempt. What cannot be written just now is written with what follows: the
    transcript does not depend on it."""

    def __init__(self, log: TextLog, job: Job) -> None:
        self._log = log
        self._job = job
        self._waiting: list[Segment] = []
        self._written_at = time.monotonic()
        self._lock = Lock()

    def heard(self, segments: tuple[Segment, ...]) -> None:
        with self._lock:
            self._waiting += [replace(s, words=(), tokens=()) for s in segments]
            if time.monotonic() - self._written_at >= PAUSE_S:
                self._write()

    def write(self) -> None:
        """What has not been written yet."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        job, at = self._job, now()
        try:
            while segments := tuple(self._waiting[:MOST_SEGMENTS]):
                self._log.append(
                    JobTextHeard(at=at, job_id=job.id, attempt=job.fence, segments=segments)
                )
                del self._waiting[: len(segments)]
        except Unavailable as trouble:
            logger.warning("The text of the job %s appears later: %s", job.id, trouble)
        self._written_at = time.monotonic()
