"""Stretto from Python: five lines for one file, jobs for many, and an import that costs nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

import stretto
from stretto.contexts.core.errors import Cancelled, MediaNotFound
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.transcript import TranscriptStatus
from stretto.contexts.processing.model import ProcessingProgress
from tests.e2e.conftest import Known
from tests.e2e.program import undelivered
from tests.e2e.recordings import SECONDS, word_error_rate
from tests.unit.queue.shop import until

PATIENCE_S = 10.0
"""A second is promised; a busy machine may take a little longer."""
LONGEST_IMPORT_S = 0.1
"""Of a processor: what else the machine does is not counted."""

HEAVY = ("numpy", "av", "sqlite3", "typer", "rich", "ctranslate2", "onnxruntime", "msgspec")

IMPORT = f"""
import sys, time
opened = []
def heard(event, arguments):
    if event in ("socket.connect", "sqlite3.connect", "subprocess.Popen", "os.mkdir"):
        opened.append(event)
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc", ".pyi", ".so", ".pth")):
        opened.append(str(arguments[0]))
sys.addaudithook(heard)
began = time.process_time()
import stretto
took_s = time.process_time() - began
assert opened == [], opened
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert heavy == [], heavy
print(took_s)
"""


def test_importing_is_quick_and_opens_nothing(tmp_path: Path) -> None:
    def import_s() -> float:
        done = subprocess.run(
            [sys.executable, "-c", IMPORT], capture_output=True, cwd=tmp_path, check=True, text=True
        )
        return float(done.stdout)

    assert min(import_s() for _ in range(3)) < LONGEST_IMPORT_S
    assert list(tmp_path.iterdir()) == []


def test_one_line_gives_a_transcript_with_text_and_times(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRETTO_HOME", str(known.home))
    heard: list[ProcessingProgress] = []

    transcript = stretto.transcribe(known.recording, progressed=heard.append)

    assert isinstance(transcript, stretto.Transcript)
    assert transcript.status is TranscriptStatus.COMPLETE
    assert word_error_rate(transcript.text) <= 0.05
    assert all(0 <= s.start < s.end <= SECONDS + 0.01 for s in transcript.segments)
    assert all(word.text for segment in transcript.segments for word in segment.words)
    assert transcript.language == stretto.Language("en")
    assert str(transcript.id) == known.first.document["id"]


def test_a_transcript_cannot_be_changed(known: Known) -> None:
    transcript = stretto.transcribe(known.recording, home=known.home)
    with pytest.raises(AttributeError):
        transcript.file = "another.wav"  # type: ignore[misc]


def test_what_is_wrong_is_an_error_of_ours(known: Known, tmp_path: Path) -> None:
    for wrong in ({"language": "xx"}, {"model": "nonsense"}, {"concurrency": 0}, {"nonsense": 1}):
        with pytest.raises(stretto.StrettoError):
            stretto.transcribe(known.recording, home=known.home, **wrong)  # type: ignore[arg-type]
    with pytest.raises(stretto.StrettoError):
        stretto.transcribe(tmp_path / "missing.wav", home=known.home)


def test_a_job_reports_its_progress_and_ends_with_the_transcript(
    long_recording: Path, home: Path
) -> None:
    with stretto.open(home=home) as application:
        job = application.submit(long_recording, language="en")
        assert application.job(job).status in {JobStatus.QUEUED, JobStatus.PROCESSING}
        seen = [application.progress(job)]
        while application.job(job).status in {JobStatus.QUEUED, JobStatus.PROCESSING}:
            seen.append(application.progress(job))
            time.sleep(0.01)
        transcript = application.result(job, timeout_s=5)
        assert application.job(job).status is JobStatus.COMPLETED
        assert application.job(job).transcript_id == transcript.id
        assert application.transcripts.get(transcript.id) == transcript
        seen.append(application.progress(job))
    assert all(a.fraction <= b.fraction for a, b in pairwise(seen))
    assert seen[0].fraction == 0
    assert seen[-1].fraction == 1
    assert any(0 < progress.fraction < 1 for progress in seen), "it jumped from nothing to all"


def test_events_are_delivered_when_the_work_is_done_not_when_the_process_ends(
    known: Known, home: Path, tmp_path: Path
) -> None:
    with stretto.open(home=home) as application:
        application.transcribe(known.recording)
        until(lambda: undelivered(home) == 0)
        good, bad = application.submit(known.recording), application.submit(tmp_path / "missing")
        application.result(good, timeout_s=30)
        with pytest.raises(MediaNotFound):
            application.result(bad, timeout_s=30)
        until(lambda: undelivered(home) == 0)


def test_a_cancelled_job_stops_soon_and_what_it_finished_is_not_lost(
    long_recording: Path, home: Path
) -> None:
    with stretto.open(home=home) as application:
        job = application.submit(long_recording, language="en")
        waiting = application.submit(long_recording, language="en")
        while application.progress(job).done_s == 0:
            time.sleep(0.01)
        began = time.monotonic()
        application.cancel(waiting)
        application.cancel(job)
        for cancelled in (job, waiting):
            with pytest.raises(Cancelled):
                application.result(cancelled, timeout_s=30)
            assert application.job(cancelled).status is JobStatus.CANCELLED
        assert time.monotonic() - began < PATIENCE_S


def test_a_job_that_fails_says_why_and_the_next_one_runs(known: Known, tmp_path: Path) -> None:
    with stretto.open(home=known.home) as application:
        bad = application.submit(tmp_path / "missing.wav")
        good = application.submit(known.recording)
        with pytest.raises(MediaNotFound):
            application.result(bad, timeout_s=30)
        failed = application.job(bad)
        assert failed.status is JobStatus.FAILED
        assert isinstance(failed.error, MediaNotFound)
        assert application.result(good, timeout_s=30).has_speech


def test_closing_stops_what_runs_and_waits_no_longer_than_a_moment(
    long_recording: Path, home: Path
) -> None:
    application = stretto.open(home=home)
    job = application.submit(long_recording, language="en")
    while application.progress(job).done_s == 0:
        time.sleep(0.01)
    began = time.monotonic()
    application.close()
    assert time.monotonic() - began < PATIENCE_S
    with pytest.raises(Cancelled):
        application.result(job, timeout_s=1)
