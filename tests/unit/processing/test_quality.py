"""The quality gate: what looks wrong is decoded again, what looks right is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.processing.adapters.whisper.quality import (
    Candidate,
    Doubt,
    better,
    confirms,
    doubt_about,
    echo_in,
)

GOOD = Candidate(
    tokens=tuple(range(30)),
    text=" It was the best of times, it was the worst of times, it was the age of wisdom.",
    log_probability=-0.3,
    no_speech_probability=0.05,
    temperature=0.0,
)


def test_ordinary_speech_leaves_no_doubt() -> None:
    assert doubt_about(GOOD, speech_s=8.0) is None


@pytest.mark.parametrize(
    ("change", "speech_s", "doubt"),
    [
        ({"text": ""}, 8.0, Doubt.EMPTY_OVER_SPEECH),
        ({"text": " \n"}, 1.0, Doubt.EMPTY_OVER_SPEECH),
        ({"text": ""}, 0.9, None),
        ({"text": "la " * 60}, 8.0, Doubt.REPETITIVE),
        ({"log_probability": -1.01}, 8.0, Doubt.IMPROBABLE),
        ({"tokens": tuple(range(200))}, 8.0, Doubt.TOO_MUCH_TEXT),
        ({"tokens": (1, 2)}, 8.0, Doubt.TOO_LITTLE_TEXT),
        ({"tokens": (1, 2)}, 1.0, None),
        ({"text": " Press one now, press one now!"}, 8.0, Doubt.ECHO),
    ],
)
def test_what_looks_wrong_is_named(change, speech_s: float, doubt: Doubt | None) -> None:
    assert doubt_about(replace(GOOD, **change), speech_s=speech_s) is doubt


@pytest.mark.parametrize(
    ("text", "echo"),
    [
        ("press one now press one now", True),
        ("Press one now. Press ONE, now?", True),
        ("well, press one now press one now please", True),
        ("no no no no no no", False),
        ("very good very good", False),
        ("one two three four one two three", False),
        ("", False),
        ("... --- ...", False),
    ],
)
def test_an_echo_is_a_phrase_of_three_words_twice_in_a_row(text: str, echo: bool) -> None:
    assert (echo_in(text) is not None) is echo


TWICE = replace(GOOD, text=" Press one now, press one now! Then hold the line.")


@pytest.mark.parametrize(
    ("first", "again", "confirmed"),
    [
        (TWICE, TWICE, True),
        (TWICE, replace(TWICE, text=" Press one now. Press one now. Then hold a line."), True),
        (TWICE, replace(TWICE, text=" Hold the line now, hold the line now. Press one."), False),
        (TWICE, GOOD, False),
        (replace(TWICE, log_probability=-2.0), replace(TWICE, text=" x" + TWICE.text), False),
        (replace(GOOD, text=""), replace(GOOD, text=" "), True),
    ],
)
def test_what_two_decodings_say_alike_was_said(
    first: Candidate, again: Candidate, confirmed: bool
) -> None:
    assert confirms(again, first, speech_s=8.0) is confirmed


@pytest.mark.parametrize(
    ("no_speech", "log_probability", "silence"),
    [(0.9, -1.5, True), (0.9, -0.5, False), (0.1, -1.5, False)],
)
def test_silence_needs_both_an_expectation_and_an_unsure_text(
    no_speech: float, log_probability: float, silence: bool
) -> None:
    changed = replace(GOOD, no_speech_probability=no_speech, log_probability=log_probability)
    assert changed.is_silence is silence


def test_repeated_text_compresses_better_than_speech() -> None:
    assert replace(GOOD, text="ha " * 100).compression_ratio > 2.4 > GOOD.compression_ratio
    assert replace(GOOD, text="").compression_ratio == 1.0


def test_of_two_the_one_without_a_doubt_wins_even_if_less_probable() -> None:
    looped = replace(GOOD, text="la " * 60, log_probability=-0.01)
    assert better(looped, GOOD, speech_s=8.0) is GOOD
    assert better(GOOD, looped, speech_s=8.0) is GOOD


def test_of_two_doubtful_ones_text_beats_emptiness_and_repetition() -> None:
    unsure = replace(GOOD, log_probability=-1.4)
    for other in (replace(GOOD, text=""), replace(GOOD, text="la " * 60, log_probability=-0.1)):
        assert better(other, unsure, speech_s=8.0) is unsure
        assert better(unsure, other, speech_s=8.0) is unsure


def test_of_two_equals_the_first_is_kept() -> None:
    assert better(GOOD, replace(GOOD), speech_s=8.0) is GOOD


@given(st.text(max_size=200), st.floats(0, 30))
def test_no_text_is_too_strange_to_be_judged(text: str, speech_s: float) -> None:
    doubt_about(replace(GOOD, text=text.encode(errors="ignore").decode()), speech_s=speech_s)
