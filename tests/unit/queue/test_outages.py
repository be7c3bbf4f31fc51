"""A service that is away for a while costs no word of a job in the queue: it waits, and goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap.queueing import FileWorkshop
from stretto.contexts.core.errors import EngineFailure, TransientEngineFailure
from stretto.contexts.core.events import JobPartRetried, JobRetried
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.recognition import Recognition, TranscriptionOptions
from stretto.contexts.core.transcript import Transcript, TranscriptStatus
from stretto.contexts.processing.model import AudioChunk, CancelToken, EngineLimits
from stretto.contexts.queue.adapters.bell import LocalBell
from stretto.contexts.queue.model import DeathCause, FileWork, Job, Submission
from stretto.contexts.queue.policy import RetryConfig, RetryPolicy
from stretto.contexts.queue.retry import RetryHandler
from stretto.settings import Settings
from tests.fakes.engine import MemoryEngine
from tests.fakes.queue import FakeDatabaseClock, MemoryQueue
from tests.queues import Queue
from tests.unit.processing.flow import ENGLISH, TALK, Studio, a_talk, an_engine
from tests.unit.queue.jobs import job_id
from tests.unit.queue.shop import SOON_S, Crew

AWAY = "The service cannot be reached."
LOST_CHUNK = 2
MOST = RetryConfig().most_outages


class AwayEngine(MemoryEngine):
    """Of a service that sees to retries itself. While ``troubled`` says so of a chunk, it fails
    with ``trouble``."""

    def __init__(
        self,
        troubled: Callable[[AudioChunk], bool],
        trouble: type[EngineFailure] = TransientEngineFailure,
    ) -> None:
        super().__init__(limits=EngineLimits(max_seconds=10.0, retries=0))
        self._troubled = troubled
        self._trouble = trouble

    def recognise(
        self,
        chunk: AudioChunk,
        options: TranscriptionOptions,
        *,
        cancel: CancelToken,
        report: Callable[[float], None],
    ) -> Recognition:
        if self._troubled(chunk):
            with self._lock:
                self.heard.append(chunk.audio)
            raise self._trouble(AWAY)
        return super().recognise(chunk, options, cancel=cancel, report=report)


class Office:
    """One job, whose worker keeps the shipped terms by a clock that passes over the waits."""

    def __init__(self, home: Path) -> None:
        self.studio = Studio({TALK.name: a_talk(90.0)})
        self.clock = FakeDatabaseClock()
        self.twin = MemoryQueue(self.clock)
        self.crew = Crew(Queue(self.twin, self.twin, self.twin, self.clock))
        self.bell = LocalBell()
        self.began_s = self.clock.unix_s
        self._settings = Settings(home=home)

    def away_for(self, seconds: float) -> Callable[[AudioChunk], bool]:
        return lambda _: self.clock.unix_s < self.began_s + seconds

    def work(self, engine: MemoryEngine, *, dice: Callable[[], float], **workshop: Any) -> Job:
        """The job when it is over."""
        processing = self.studio.service(engine)
        submitted = Job(
            id=job_id(1),
            file=TALK.name,
            work=FileWork(path=str(TALK), options=ENGLISH),
            work_key="a talk",
            created_at=Timestamp(0.0),
            updated_at=Timestamp(0.0),
            run_at=Timestamp(0.0),
        )
        self.twin.add(Submission(job=submitted))
        self.crew.hire(
            bell=self.bell,
            retries=RetryHandler(policy=RetryPolicy(dice=dice)),
            workshop=FileWorkshop(
                self._settings, processing, with_engine=lambda _: processing, **workshop
            ),
        )
        end = time.monotonic() + SOON_S
        while not self.job().is_over:
            assert time.monotonic() < end, "it did not come to an end"
            self._pass_over_the_waits()
            time.sleep(0.002)
        return self.job()

    def _pass_over_the_waits(self) -> None:
        """Nothing but the outage passes while nobody works."""
        jobs = (self.job(), *self.parts())
        waits = [job.run_at.unix_s for job in jobs if job.status is JobStatus.QUEUED]
        busy = any(job.status is JobStatus.PROCESSING and not job.is_waiting for job in jobs)
        if waits and not busy and min(waits) > self.clock.unix_s:
            self.clock.unix_s = min(waits)
            self.bell.ring()

    def job(self) -> Job:
        found = self.twin.get(job_id(1))
        assert found is not None
        return found

    def parts(self) -> tuple[Job, ...]:
        return self.twin.parts_of(job_id(1))

    def transcript(self) -> Transcript:
        found = self.job().transcript_id
        assert found is not None
        kept = self.studio.transcripts.get(found)
        assert kept is not None
        return kept

    def retries(self) -> list[JobRetried]:
        return [event for event in self.crew.events if isinstance(event, JobRetried)]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.crew.dismiss()


@pytest.fixture(scope="module")
def undisturbed() -> str:
    return Studio({TALK.name: a_talk(90.0)}).transcribe(an_engine()).text


@pytest.mark.parametrize("away_s", [20.0, 1800.0])
@pytest.mark.parametrize("dice", [lambda: 0.0, random.Random(7).random, lambda: 0.999])
@pytest.mark.parametrize("divides", [False, True], ids=["whole", "divided"])
def test_a_service_that_is_away_for_half_an_hour_costs_no_word(
    office: Office, undisturbed: str, divides: bool, dice: Callable[[], float], away_s: float
) -> None:
    engine = AwayEngine(office.away_for(away_s))
    done = office.work(engine, dice=dice, patient=True, divides=divides)
    assert done.status is JobStatus.COMPLETED
    assert office.transcript().status is TranscriptStatus.COMPLETE
    assert office.transcript().text == undisturbed
    assert {event.reason.endswith(AWAY) for event in office.retries()} == {True}
    assert engine.calls == len(set(engine.heard)), "each chunk was transcribed once"


def test_the_job_says_why_it_waits_and_when_it_goes_on(office: Office) -> None:
    engine = AwayEngine(lambda chunk: chunk.planned.index == LOST_CHUNK)
    seen: list[Job] = []
    bell = office.bell.ring

    def look() -> None:
        seen.append(office.job())
        bell()

    office.bell.ring = look  # type: ignore[method-assign]
    chunks = office.work(engine, dice=lambda: 0.0, patient=True).progress.chunks_known
    waiting = next(job for job in seen if job.status is JobStatus.QUEUED and job.outages)
    assert waiting.error is not None
    assert waiting.error.message == f"1 of {chunks} chunks waits to be tried again. {AWAY}"
    assert waiting.run_at.unix_s > waiting.updated_at.unix_s
    assert waiting.progress.fraction < 1.0


def test_only_what_is_missing_is_called_for_again(office: Office, undisturbed: str) -> None:
    away = office.away_for(20.0)
    engine = AwayEngine(lambda chunk: away(chunk) and chunk.planned.index == LOST_CHUNK)
    office.work(engine, dice=lambda: 0.0, patient=True)
    assert office.transcript().text == undisturbed
    assert engine.calls == len(set(engine.heard))
    assert len(office.retries()) == 4


def test_of_a_divided_file_only_the_part_that_failed_waits(
    office: Office, undisturbed: str
) -> None:
    away = office.away_for(20.0)
    engine = AwayEngine(lambda chunk: away(chunk) and chunk.planned.index == LOST_CHUNK)
    done = office.work(engine, dice=lambda: 0.0, patient=True, divides=True)
    assert office.transcript().text == undisturbed
    assert (done.outages, done.attempts, done.error) == (0, 2, None)
    assert [part.outages for part in office.parts() if part.outages] == [4]
    assert [event.job_id for event in office.retries()] == [office.parts()[LOST_CHUNK].id] * 4
    told = [one.event for one in office.twin.history[str(done.id)]]
    waits = [event for event in told if isinstance(event, JobPartRetried)]
    assert [(event.part, event.delay_s, event.reason) for event in waits] == [
        (LOST_CHUNK, delay_s, AWAY) for delay_s in (2.0, 4.0, 8.0, 16.0)
    ]


def test_when_twenty_tries_were_in_vain_what_is_there_is_kept_and_the_gap_is_named(
    office: Office, undisturbed: str
) -> None:
    engine = AwayEngine(lambda chunk: chunk.planned.index == LOST_CHUNK)
    done = office.work(engine, dice=lambda: 0.0, patient=True)
    assert (done.status, done.attempts) == (JobStatus.COMPLETED, MOST)
    (gap,) = office.transcript().coverage.gaps
    assert gap.detail == AWAY
    assert all(segment.text in undisturbed for segment in office.transcript().segments)


def test_a_part_that_was_tried_twenty_times_in_vain_is_a_gap_and_a_dead_letter(
    office: Office,
) -> None:
    engine = AwayEngine(lambda chunk: chunk.planned.index == LOST_CHUNK)
    done = office.work(engine, dice=lambda: 0.0, patient=True, divides=True)
    assert done.status is JobStatus.COMPLETED
    assert [gap.detail for gap in office.transcript().coverage.gaps] == [AWAY]
    lost = office.parts()[LOST_CHUNK]
    assert (lost.status, lost.cause, lost.outages) == (JobStatus.FAILED, DeathCause.ERRORS, MOST)


def test_what_another_try_cannot_help_is_a_gap_at_once(office: Office) -> None:
    engine = AwayEngine(lambda chunk: chunk.planned.index == LOST_CHUNK, EngineFailure)
    done = office.work(engine, dice=lambda: 0.0, patient=True)
    assert (done.status, done.attempts) == (JobStatus.COMPLETED, 1)
    assert len(office.transcript().coverage.gaps) == 1


def test_whoever_waits_for_the_text_gets_what_there_is(office: Office) -> None:
    engine = AwayEngine(lambda chunk: chunk.planned.index == LOST_CHUNK)
    done = office.work(engine, dice=lambda: 0.0)
    assert (done.status, done.attempts) == (JobStatus.COMPLETED, 1)
    assert office.transcript().status is TranscriptStatus.PARTIAL


@pytest.mark.parametrize("dice", [lambda: 0.0, lambda: 0.999])
def test_the_waits_for_a_service_that_is_away_grow_to_minutes_and_last_for_half_an_hour_at_least(
    dice: Callable[[], float],
) -> None:
    policy = RetryPolicy(dice=dice)
    waits = [policy.outage_delay_s(outages) for outages in range(1, MOST)]
    bounds = [4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, *[300.0] * (len(waits) - 7)]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    assert sum(waits) >= 1800.0
    assert policy.config == RetryConfig()
