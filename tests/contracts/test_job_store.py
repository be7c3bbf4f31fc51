"""What every job store promises, whatever is behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol
from uuid import UUID

import pytest

from stretto.contexts.core.errors import MediaNotFound, StrettoError
from stretto.contexts.core.identifiers import JobId, Timestamp, TranscriptId
from stretto.contexts.core.job import JobStatus, ProcessingJob
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.jobs import SqlJobStore
from stretto.contexts.processing.ports import JobStore
from tests.fakes.clock import FakeClock
from tests.fakes.job_store import MemoryJobStore
from tests.servers import Database


class Store(JobStore, Protocol):
    """The port, and the list."""

    def page(
        self, *, limit: int, status: JobStatus | None = None, after: ProcessingJob | None = None
    ) -> tuple[ProcessingJob, ...]: ...


@pytest.fixture(params=["twin", "database"])
def store(request: pytest.FixtureRequest, database: Database) -> Store:
    if request.param == "twin":
        return MemoryJobStore()
    return SqlJobStore(database, outbox=OutboxWriter(), clock=FakeClock())


def a_job(
    number: int = 1, *, status: JobStatus = JobStatus.QUEUED, at: float = 1.0
) -> ProcessingJob:
    return ProcessingJob(
        id=JobId(UUID(int=number)), file="зал.mp3", status=status, created_at=Timestamp(at)
    )


def test_what_was_kept_is_found_and_nothing_else(store: Store) -> None:
    store.keep(a_job())
    assert store.get(a_job().id) == a_job()
    assert store.get(JobId(UUID(int=2))) is None


def test_a_job_goes_from_state_to_state(store: Store) -> None:
    done = replace(a_job(), status=JobStatus.COMPLETED, transcript_id=TranscriptId(UUID(int=5)))
    for job in (a_job(), a_job(status=JobStatus.PROCESSING), done):
        store.keep(job)
        assert store.get(job.id) == job


@pytest.mark.parametrize("final", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_job_that_is_over_stays_as_it_is(store: Store, final: JobStatus) -> None:
    store.keep(a_job(status=final))
    store.keep(a_job(status=JobStatus.PROCESSING))
    found = store.get(a_job().id)
    assert found is not None
    assert found.status is final


def test_why_a_job_failed_is_kept_as_the_error_that_it_was(store: Store) -> None:
    failed = replace(a_job(status=JobStatus.FAILED), error=MediaNotFound("There is no such file."))
    store.keep(failed)
    found = store.get(failed.id)
    assert found is not None
    assert type(found.error) is MediaNotFound
    assert isinstance(found.error, StrettoError)
    assert found.error.message == "There is no such file."


def test_jobs_are_listed_newest_first_by_page_and_by_state(store: Store) -> None:
    for number in range(1, 8):
        status = JobStatus.FAILED if number % 2 else JobStatus.QUEUED
        store.keep(a_job(number, status=status, at=float(number // 3)))
    first = store.page(limit=3)
    rest = store.page(limit=10, after=first[-1])
    assert [job.id.value.int for job in (*first, *rest)] == [7, 6, 5, 4, 3, 2, 1]
    failed = store.page(limit=2, status=JobStatus.FAILED)
    assert [job.id.value.int for job in failed] == [7, 5]
    after = store.page(limit=9, status=JobStatus.FAILED, after=failed[-1])
    assert [job.id.value.int for job in after] == [3, 1]
