"""Keeps jobs, so that what became of one can be asked for after the process has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stretto.contexts.core import errors
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import JobId, Timestamp, TranscriptId
from stretto.contexts.core.job import JobStatus, ProcessingJob
from stretto.contexts.processing.adapters.connections import (
    Connection,
    Database,
    Outbox,
    storable,
)


class SqlJobStore:
    """All methods raise StorageFull or StorageUnavailable when the database is in trouble."""

    def __init__(
        self, database: Database, *, outbox: Outbox, clock: Callable[[], Timestamp]
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    def keep(self, job: ProcessingJob, *events: DomainEvent) -> None:
        """On the disk when it returns, together with ``events``, which report the change.

        A job that is over stays as it is: a late word of somebody who lost it changes nothing.
        """
        row = self._row(job)

        def work(connection: Connection) -> None:
            if connection.execute(_KEEP, row).rowcount:
                self._outbox.append(connection, str(job.id), *events)

        self._database.transact(work)

    def get(self, job_id: JobId) -> ProcessingJob | None:
        with self._database.read() as connection:
            row = connection.execute(_GET, {"id": str(job_id)}).fetchone()
        return _job(*row) if row else None

    def page(
        self, *, limit: int, status: JobStatus | None = None, after: ProcessingJob | None = None
    ) -> tuple[ProcessingJob, ...]:
        """At most ``limit`` jobs, the newest first, from after the last one of the page before."""
        values: dict[str, Any] = {
            "at": after.created_at.unix_s if after else 1e300,
            "id": str(after.id) if after else "",
            "limit": limit,
        }
        statement = _PAGE
        if status is not None:
            statement, values["status"] = _PAGE_OF_STATUS, status.value
        with self._database.read() as connection:
            rows = connection.execute(statement, values).fetchall()
        return tuple(_job(*row) for row in rows)

    def _row(self, job: ProcessingJob) -> Mapping[str, Any]:
        return {
            "id": str(job.id),
            "file": storable(job.file),
            "status": job.status.value,
            "created_at": job.created_at.unix_s,
            "updated_at": self._clock().unix_s,
            "transcript_id": str(job.transcript_id) if job.transcript_id else None,
            "error_kind": type(job.error).__name__ if job.error else "",
            "error": storable(job.error.message) if job.error else "",
        }


def _job(
    job_id: str,
    file: str,
    status: str,
    created_at: float,
    transcript_id: str | None,
    error_kind: str,
    error: str,
) -> ProcessingJob:
    return ProcessingJob(
        id=JobId.parse(job_id),
        file=file,
        status=JobStatus(status),
        created_at=Timestamp(created_at),
        transcript_id=TranscriptId.parse(transcript_id) if transcript_id else None,
        error=_error(error_kind, error) if error_kind else None,
    )


def _error(kind: str, message: str) -> StrettoError:
    """Of its own class where that still exists and needs no more than a message."""
    found = getattr(errors, kind, StrettoError)
    known = isinstance(found, type) and issubclass(found, StrettoError)
    return found(message) if known else StrettoError(message)


_KEEP: Final = """
    INSERT INTO processing_job (
        id, file, status, created_at, updated_at, transcript_id, error_kind, error
    ) VALUES (
        :id, :file, :status, :created_at, :updated_at, :transcript_id, :error_kind, :error
    )
    ON CONFLICT (id) DO UPDATE SET
        status = excluded.status, updated_at = excluded.updated_at,
        transcript_id = excluded.transcript_id, error_kind = excluded.error_kind,
        error = excluded.error
    WHERE processing_job.status IN ('queued', 'processing')
"""
_GET: Final = """
    SELECT id, file, status, created_at, transcript_id, error_kind, error
    FROM processing_job WHERE id = :id
"""
_PAGE: Final = """
    SELECT id, file, status, created_at, transcript_id, error_kind, error FROM processing_job
    WHERE (created_at, id) < (:at, :id) ORDER BY created_at DESC, id DESC LIMIT :limit
"""
_PAGE_OF_STATUS: Final = """
    SELECT id, file, status, created_at, transcript_id, error_kind, error FROM processing_job
    WHERE status = :status AND (created_at, id) < (:at, :id)
    ORDER BY created_at DESC, id DESC LIMIT :limit
"""
