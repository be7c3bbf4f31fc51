"""When each word was said: from the decoder's attention to words, and from words to segments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from stretto.contexts.core.audio import Span
from stretto.contexts.core.transcript import Segment, Word
from stretto.contexts.processing.adapters.whisper.quality import Candidate
from stretto.contexts.processing.adapters.whisper.vocabulary import WordTokens

SECONDS_PER_STEP: Final = 0.02
"""One step of the encoder's output: two frames of 10 ms."""

SENTENCE_ENDS: Final = frozenset(".?!。？！…")
LONGEST_SEGMENT_S: Final = 15.0
PAUSE_BETWEEN_SEGMENTS_S: Final = 0.8
SHORTEST_WORD_S: Final = 0.02


def token_starts(alignment: Sequence[tuple[int, int]], count: int) -> list[float]:
    """Seconds at which each of ``count`` tokens begins, and where the last one ends.

    ``alignment`` is the path of dynamic time warping: pairs (token, encoder step), both
    non-decreasing. A token that the path skips begins where its successor does.
    """
    starts: list[float | None] = [None] * (count + 1)
    last = 0.0
    for token, step in alignment:
        if token <= count and starts[token] is None:
            starts[token] = step * SECONDS_PER_STEP
        last = max(last, step * SECONDS_PER_STEP)
    following = last
    filled = []
    for start in reversed(starts):
        following = following if start is None else min(start, following)
        filled.append(following)
    return filled[::-1]


def timed_words(
    words: Sequence[WordTokens],
    starts: Sequence[float],
    probabilities: Sequence[float],
    speech: Sequence[Span],
) -> tuple[Word, ...]:
    """Words with times from the start of the window; ``speech`` is in samples of the window.

    Attention wanders into the silence around a word, so each word is held to the speech it meets.
    """
    timed = []
    index, floor = 0, 0.0
    for word in words:
        stop = index + len(word.tokens)
        start, end = _held_to_speech(starts[index], starts[min(stop, len(starts) - 1)], speech)
        start = max(start, floor)
        end = max(end, start + SHORTEST_WORD_S)
        said = probabilities[index:stop]
        timed.append(
            Word(
                start=start,
                end=end,
                text=word.text,
                probability=min(1.0, sum(said) / len(said)) if said else 0.0,
            )
        )
        index, floor = stop, end
    return tuple(timed)


def _held_to_speech(start: float, end: float, speech: Sequence[Span]) -> tuple[float, float]:
    """The part of [start, end] from the first to the last speech in it; all of it if there is none.

    Where a word reaches over a pause, the longer of its two parts is the word.
    """
    parts = [
        (max(start, span.start_s), min(end, span.end_s))
        for span in speech
        if span.start_s < end and span.end_s > start
    ]
    return max(parts, key=lambda part: part[1] - part[0]) if parts else (start, end)


def segments_of(words: Sequence[Word], candidate: Candidate) -> tuple[Segment, ...]:
    """Sentences: a segment ends at a full stop, a long pause, or when it grows too long."""
    segments = []
    run: list[Word] = []
    for word, following in zip_longest(words, words[1:]):
        run.append(word)
        if following is None or _breaks(run, following):
            segments.append(_segment(run, candidate))
            run = []
    return tuple(segments)


def _breaks(run: Sequence[Word], following: Word) -> bool:
    ended = run[-1].text.rstrip("\"'”»)")[-1:] in SENTENCE_ENDS
    paused = following.start - run[-1].end >= PAUSE_BETWEEN_SEGMENTS_S
    return ended or paused or following.end - run[0].start > LONGEST_SEGMENT_S


def _segment(run: Sequence[Word], candidate: Candidate) -> Segment:
    return Segment(
        start=run[0].start,
        end=run[-1].end,
        text="".join(w.text for w in run).strip(),
        words=tuple(run),
        average_log_probability=candidate.log_probability,
        compression_ratio=candidate.compression_ratio,
        no_speech_probability=candidate.no_speech_probability,
        temperature=candidate.temperature,
    )
