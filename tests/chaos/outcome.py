"""What must be so when a fleet has come to an end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from tests.chaos.fleet import ENGLISH, Fleet
from tests.chaos.score import noted
from tests.chaos.worker import LIMITS, a_service
from tests.fakes.engine import MemoryEngine
from tests.fakes.result_cache import MemoryResultCache
from tests.fakes.transcript_store import MemoryTranscriptStore

IN_FLIGHT = 2
"""Chunks that a worker has at the engine at most."""


@cache
def expected_text(name: str) -> tuple[str, int]:
    """What a run without trouble says about a recording, and in how many chunks."""
    engine = MemoryEngine(limits=LIMITS)
    service = a_service(engine, MemoryResultCache(), MemoryTranscriptStore(), EventBus())
    transcript = service.process_file(Path(f"{name}.wav"), ENGLISH)
    return transcript.text, engine.calls


def assert_every_file_was_done_once(
    fleet: Fleet, names: list[str], *, mended: Collection[JobId] = ()
) -> int:
    """With the words of a run without trouble; the ``mended`` perhaps with a gap before. Returns
    the number of chunks."""
    expected = {name: expected_text(name) for name in names}
    assert_texts(fleet, {name: text for name, (text, _) in expected.items()}, mended=mended)
    return sum(chunks for _, chunks in expected.values())


def assert_texts(
    fleet: Fleet, expected: Mapping[str, str], *, mended: Collection[JobId] = ()
) -> None:
    """Each recording has its text, once, and was reported once."""
    jobs = fleet.jobs()
    later = {Path(jobs[job_id].work.path).stem for job_id in mended}
    texts = {
        name: found if name not in later else [text for text in found if text == expected[name]]
        for name, found in fleet.texts().items()
    }
    noted(wrong_texts=sum(texts.get(name) != [text] for name, text in expected.items()))
    for name, text in expected.items():
        assert texts[name] == [text], name
    completed = fleet.events("JobCompleted")
    done = [job for job in jobs.values() if job.status is JobStatus.COMPLETED]
    assert len(done) == len(expected)
    strict = {str(job.id) for job in done if job.id not in mended}
    assert {job: count for job, count in completed.items() if job in strict} == dict.fromkeys(
        strict, 1
    )
    assert set(completed) == {str(job.id) for job in done}


def assert_nothing_was_done_twice(fleet: Fleet, names: list[str]) -> None:
    """Nor any chunk of it, as when nobody is killed."""
    chunks = assert_every_file_was_done_once(fleet, names)
    assert sum(fleet.calls().values()) == chunks
