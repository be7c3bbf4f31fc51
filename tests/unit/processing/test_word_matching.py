"""Words of one text get the times at which another engine heard them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.audio import Span
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import Recognition
from stretto.contexts.core.transcript import Segment, Word
from stretto.contexts.processing.aligned_engine import AlignedEngine
from stretto.contexts.processing.model import CancelToken
from stretto.contexts.processing.word_matching import UNHEARD, timed_by
from tests.fakes.audio import a_chunk, speechlike
from tests.fakes.engine import MemoryEngine
from tests.unit.processing.flow import ENGLISH


def heard(text: str, *, start: float = 0.0) -> list[Word]:
    """One word a second."""
    return [
        Word(start=start + n, end=start + n + 0.8, text=f" {word}", probability=0.9)
        for n, word in enumerate(text.split())
    ]


def said(*texts: str, length: float = 4.0) -> list[Segment]:
    return [
        Segment(start=length * n, end=length * (n + 1), text=text, estimated=True)
        for n, text in enumerate(texts)
    ]


def test_the_same_words_get_their_times_whatever_their_case_and_marks() -> None:
    first, second = timed_by(
        said("Ever tried.", "Ever failed!"), heard("ever tried ever failed", start=10.0)
    )
    assert [(w.text, w.start) for w in first.words] == [("Ever", 10.0), ("tried.", 11.0)]
    assert (second.start, second.end) == (12.0, 13.8)
    assert not first.estimated
    assert not second.estimated


def test_a_word_that_was_not_heard_shares_the_time_between_its_neighbours() -> None:
    (only,) = timed_by(said("try again and fail better"), heard("try again better"))
    times = {w.text: (w.start, w.end, w.probability) for w in only.words}
    assert times["and"] == pytest.approx((1.8, 1.9, UNHEARD))
    assert times["fail"] == pytest.approx((1.9, 2.0, UNHEARD))
    assert times["better"] == (2.0, 2.8, 0.9)


def test_a_segment_that_was_hardly_heard_keeps_its_estimated_times() -> None:
    first, second = timed_by(said("quite other words here", "no matter"), heard("no matter"))
    assert first.estimated
    assert not first.words
    assert not second.estimated
    assert first.end <= second.start


def test_without_any_match_everything_stays_as_it_was() -> None:
    segments = said("один два", "три")
    assert timed_by(segments, heard("one two three")) == tuple(segments)
    assert timed_by(segments, []) == tuple(segments)
    assert timed_by([], heard("one")) == ()


def test_texts_without_end_are_left_alone() -> None:
    segments = said("la " * 10_000)
    assert timed_by(segments, heard("la " * 10_000)) == tuple(segments)


_TEXT = st.lists(st.sampled_from(["a", "b", "c", "d!", "—"]), max_size=30).map(" ".join)


@given(st.lists(_TEXT.filter(bool), max_size=6), _TEXT)
def test_no_word_is_lost_and_time_never_runs_backward(texts: list[str], other: str) -> None:
    segments = timed_by(said(*texts), heard(other))
    assert [s.text for s in segments] == texts
    for segment in segments:
        assert segment.start <= segment.end
        if segment.words:
            assert [w.text for w in segment.words] == segment.text.split()
    timed = [w for s in segments for w in s.words]
    assert all(one.start <= following.start for one, following in pairwise(timed))


class _Saying(MemoryEngine):
    """Says one sentence without times of its words."""

    def recognise(self, chunk, options, *, cancel, report):  # type: ignore[no-untyped-def]
        answer = super().recognise(chunk, options, cancel=cancel, report=report)
        text = " ".join(w.text for s in answer.segments for w in s.words)
        only = Segment(start=0.0, end=chunk.duration_s, text=text.upper(), estimated=True)
        return Recognition(segments=(only,), speech_s=answer.speech_s, language=Language("en"))


def test_the_text_is_of_one_engine_and_the_times_are_of_the_other() -> None:
    samples = speechlike(50.0)
    speech = (Span(0, len(samples)),)
    chunk = a_chunk(samples, pauses=(320_000, 640_000), speech=speech)
    engine = AlignedEngine(text=_Saying(), times=MemoryEngine())
    answer = engine.recognise(chunk, ENGLISH, cancel=CancelToken(), report=lambda _: None)
    words = [word for segment in answer.segments for word in segment.words]
    assert len(words) > 1
    assert all(word.text.isupper() or not word.text.isalpha() for word in words)
    assert words[1].start > 0.0
    assert "aligned by" in engine.identity.settings
