"""The quality gate: does a decoded window look wrong, and in which way?

The thresholds on compression and log-probability are Whisper's own (Radford et al. 2022, section
4.5). The rates are bounds that no speaker reaches, chosen by judgement and not yet tuned on data.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

HIGHEST_COMPRESSION: Final = 2.4
LOWEST_LOG_PROBABILITY: Final = -1.0
NO_SPEECH_PROBABILITY: Final = 0.6
MOST_TOKENS_PER_SECOND: Final = 12.0
FEWEST_TOKENS_PER_SECOND: Final = 0.6
SPEECH_WORTH_TEXT_S: Final = 1.0
SPEECH_WORTH_A_RATE_S: Final = 5.0
SHORTEST_ECHO_WORDS: Final = 3


class Doubt(StrEnum):
    """Why a result is decoded again."""

    REPETITIVE = "repetitive"
    IMPROBABLE = "improbable"
    EMPTY_OVER_SPEECH = "empty_over_speech"
    TOO_MUCH_TEXT = "too_much_text"
    TOO_LITTLE_TEXT = "too_little_text"
    ECHO = "echo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One decoding of one window. ``log_probability`` is the mean per token, natural logarithm."""

    tokens: tuple[int, ...]
    text: str
    log_probability: float
    no_speech_probability: float
    temperature: float

    @property
    def compression_ratio(self) -> float:
        """UTF-8 bytes over zlib bytes; repeated text compresses far better than speech does."""
        raw = self.text.encode()
        return len(raw) / len(zlib.compress(raw)) if raw else 1.0

    @property
    def is_silence(self) -> bool:
        """Whisper's rule: the model expects no speech and is not sure of its text."""
        return (
            self.no_speech_probability > NO_SPEECH_PROBABILITY
            and self.log_probability < LOWEST_LOG_PROBABILITY
        )


def echo_in(text: str) -> list[str] | None:
    """The first phrase of three words or more that stands twice in a row, without its marks.

    Example: "press one now press one now" has one, "no no no" has none.
    """
    words = ["".join(c for c in word.lower() if c.isalnum()) for word in text.split()]
    return next(
        (
            words[start : start + length]
            for length in range(SHORTEST_ECHO_WORDS, len(words) // 2 + 1)
            for start in range(len(words) - 2 * length + 1)
            if words[start : start + length] == words[start + length : start + 2 * length]
            and len(set(words[start : start + length])) > 1
        ),
        None,
    )


def confirms(again: Candidate, first: Candidate, *, speech_s: float) -> bool:
    """Whether a second decoding says what the doubtful first one said: all of it, or, when a phrase
    stood there twice and nothing else was wrong, that phrase twice. Then it was said twice."""
    if again.text.strip() == first.text.strip():
        return True
    both = {doubt_about(one, speech_s=speech_s) for one in (first, again)}
    return both == {Doubt.ECHO} and echo_in(again.text) == echo_in(first.text)


def doubt_about(candidate: Candidate, *, speech_s: float) -> Doubt | None:
    """The first thing that looks wrong, or None."""
    if not candidate.text.strip():
        return Doubt.EMPTY_OVER_SPEECH if speech_s >= SPEECH_WORTH_TEXT_S else None
    if candidate.compression_ratio > HIGHEST_COMPRESSION:
        return Doubt.REPETITIVE
    if candidate.log_probability < LOWEST_LOG_PROBABILITY:
        return Doubt.IMPROBABLE
    tokens = len(candidate.tokens)
    if tokens > MOST_TOKENS_PER_SECOND * (speech_s + 1.0):
        return Doubt.TOO_MUCH_TEXT
    if speech_s >= SPEECH_WORTH_A_RATE_S and tokens < FEWEST_TOKENS_PER_SECOND * speech_s:
        return Doubt.TOO_LITTLE_TEXT
    if echo_in(candidate.text):
        return Doubt.ECHO
    return None


def better(first: Candidate, second: Candidate, *, speech_s: float) -> Candidate:
    """Of two: the one without a doubt; else the one that says something without repeating itself,
    and then the more probable one."""

    def rank(candidate: Candidate) -> tuple[bool, bool, float]:
        sound = doubt_about(candidate, speech_s=speech_s) is None
        speaks = bool(candidate.text.strip())
        fresh = candidate.compression_ratio <= HIGHEST_COMPRESSION
        return sound, speaks and fresh, candidate.log_probability

    return max(first, second, key=rank)
