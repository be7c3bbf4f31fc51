"""The text of a stream: its pieces are the whole, however the work went."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.events import DomainEvent, JobStarted, JobTextHeard
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.core.transcript import Segment
from stretto.contexts.queue.service import Heard
from stretto.interfaces.http.lines import Line
from stretto.interfaces.http.openai_answers import Deltas
from stretto.interfaces.http.openai_fields import Asked
from tests.fakes.examples import a_transcript

JOB = JobId.new()
NOW = Timestamp(0.0)
TEXTS = st.lists(st.text(max_size=12), max_size=8)


def asked(response_format: str = "json") -> Asked:
    return Asked(
        model="whisper-1",
        language="",
        prompt="",
        response_format=response_format,
        words=False,
        segments=True,
        stream=True,
        logprobs=False,
    )


def spoken(*texts: str) -> tuple[Segment, ...]:
    return tuple(Segment(start=float(n), end=n + 1.0, text=text) for n, text in enumerate(texts))


def line(event: DomainEvent) -> Line:
    return Line(Heard(number=1, event=event), b"")


def started(attempt: int) -> Line:
    return line(JobStarted(at=NOW, job_id=JOB, worker="w", attempt=attempt))


def heard(attempt: int, *texts: str) -> Line:
    return line(JobTextHeard(at=NOW, job_id=JOB, attempt=attempt, segments=spoken(*texts)))


def ended(deltas: Deltas, *texts: str) -> list[dict[str, Any]] | None:
    return deltas.rest(replace(a_transcript(), segments=spoken(*texts)))


@given(first=TEXTS, later=TEXTS)
def test_the_pieces_together_are_the_text_at_the_end(first: list[str], later: list[str]) -> None:
    deltas = Deltas(asked())
    sent = deltas.of([started(1), heard(1, *first)])
    rest = ended(deltas, *first, *later)
    assert rest is not None
    pieces = [one["delta"] for one in (*sent, *rest) if one["type"] == "transcript.text.delta"]
    assert "".join(pieces) == rest[-1]["text"]
    assert [one["type"] for one in rest].count("transcript.text.done") == 1


def test_work_that_is_begun_anew_is_not_said_twice() -> None:
    deltas = Deltas(asked())
    assert deltas.of([started(1), heard(1, "one", "two")])[0]["delta"] == "one two"
    assert deltas.of([started(2)]) == []
    assert deltas.of([heard(2, "one")]) == []
    assert deltas.of([heard(2, "two", "three")])[0]["delta"] == " three"
    assert deltas.sent == "one two three"


def test_what_an_older_attempt_still_says_does_not_count() -> None:
    deltas = Deltas(asked())
    deltas.of([started(2), heard(2, "new")])
    assert deltas.of([heard(1, "old")]) == []


def test_a_text_that_came_out_otherwise_is_no_end() -> None:
    deltas = Deltas(asked())
    deltas.of([started(1), heard(1, "heard")])
    assert ended(deltas, "recognised") is None


def test_each_segment_of_one_speaker_is_said_once() -> None:
    deltas = Deltas(asked("diarized_json"))
    sent = deltas.of([started(1), heard(1, "one", "two")])
    sent += ended(deltas, "one", "two", "three") or []
    ids = [one["id"] for one in sent if one["type"] == "transcript.text.segment"]
    assert ids == ["seg_0", "seg_1", "seg_2"]
