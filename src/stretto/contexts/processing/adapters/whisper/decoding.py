"""Decodes a batch of windows in two passes: a fast one, then again only what looks wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import Recognition, TranscriptionOptions
from stretto.contexts.core.transcript import Gap, GapReason, Segment
from stretto.contexts.processing.adapters.whisper.features import FULL_FRAMES
from stretto.contexts.processing.adapters.whisper.quality import (
    NO_SPEECH_PROBABILITY,
    SPEECH_WORTH_TEXT_S,
    Candidate,
    better,
    confirms,
    doubt_about,
)
from stretto.contexts.processing.adapters.whisper.runtime import (
    Alignment,
    Encoded,
    Runtime,
    start_of,
)
from stretto.contexts.processing.adapters.whisper.timing import (
    segments_of,
    timed_words,
    token_starts,
)
from stretto.contexts.processing.adapters.whisper.window import Window
from stretto.contexts.processing.model import CancelToken

ENGLISH: Final = Language("en")
"""Every Whisper model of one language is a model of English."""

FLIP_CERTAINTY: Final = 0.8
FLIP_REMAINDER: Final = 0.1


def decode_batch(
    runtime: Runtime,
    windows: Sequence[Window],
    options: TranscriptionOptions,
    cancel: CancelToken,
) -> list[Recognition]:
    """One recognition per window, in seconds of the chunk. Raises Cancelled between stages."""
    cancel.raise_if_cancelled()
    frames = runtime.padded_frames(max(w.frames for w in windows))
    encoded = runtime.encode([w.samples for w in windows], frames, cancel)
    cancel.raise_if_cancelled()
    languages = _languages(runtime, encoded, options)
    prompts = [_prompt(runtime, language, options) for language in languages]
    candidates = encoded.generate(prompts, cancel)
    cancel.raise_if_cancelled()
    settled = [
        _settle(runtime, encoded.alone(number), window, candidate, language, options, cancel)
        for number, (window, candidate, language) in enumerate(
            zip(windows, candidates, languages, strict=True)
        )
    ]
    return _timed(runtime, encoded, windows, settled, languages, options, cancel)


def _languages(
    runtime: Runtime, encoded: Encoded, options: TranscriptionOptions
) -> list[Language | None]:
    """The language of each window: the file's, unless a window is clearly in another one."""
    if not runtime.multilingual:
        return [ENGLISH] * encoded.size
    if not options.detected:
        return [options.language] * encoded.size
    chosen = []
    for probabilities in encoded.languages():
        best, certainty = probabilities[0]
        usual = dict(probabilities).get(options.language.code if options.language else "", 0.0)
        flips = certainty >= FLIP_CERTAINTY and usual <= FLIP_REMAINDER
        chosen.append(Language.parse(best) if flips else options.language)
    return chosen


def _prompt(
    runtime: Runtime,
    language: Language | None,
    options: TranscriptionOptions,
    *,
    timestamps: bool = False,
) -> list[int]:
    start = start_of(runtime, language, options.task)
    return runtime.vocabulary.prompt(start, options.prompt, timestamps=timestamps)


def _settle(
    runtime: Runtime,
    encoded: Encoded | None,
    window: Window,
    first: Candidate,
    language: Language | None,
    options: TranscriptionOptions,
    cancel: CancelToken,
) -> Candidate:
    """The first pass where it leaves no doubt, else the best of the fallbacks."""
    if doubt_about(first, speech_s=window.speech_s) is None:
        return first
    encoded = encoded or runtime.encode([window.samples], FULL_FRAMES, cancel)
    best = first
    for temperature, timestamps in runtime.second_pass:
        cancel.raise_if_cancelled()
        prompt = _prompt(runtime, language, options, timestamps=timestamps)
        (again,) = encoded.generate([prompt], cancel, temperature=temperature)
        confirmed = confirms(again, first, speech_s=window.speech_s)
        best = better(best, again, speech_s=window.speech_s)
        if doubt_about(best, speech_s=window.speech_s) is None or again.is_silence or confirmed:
            break
    return best


def _timed(
    runtime: Runtime,
    encoded: Encoded,
    windows: Sequence[Window],
    candidates: Sequence[Candidate],
    languages: Sequence[Language | None],
    options: TranscriptionOptions,
    cancel: CancelToken,
) -> list[Recognition]:
    """Align all candidates of a batch at once and turn them into recognitions."""
    starts = [start_of(runtime, language, options.task) for language in languages]
    if any(start != starts[0] for start in starts):  # a mixed batch is aligned window by window
        recognitions = []
        for window, candidate, language in zip(windows, candidates, languages, strict=True):
            frames = runtime.padded_frames(window.frames)
            alone = runtime.encode([window.samples], frames, cancel)
            one = [window], [candidate], [language]
            recognitions += _timed(runtime, alone, *one, options, cancel)
        return recognitions
    paths = encoded.align(starts[0], [c.tokens for c in candidates], [w.frames for w in windows])
    return [
        _recognition(runtime, window, candidate, language, path)
        for window, candidate, language, path in zip(
            windows, candidates, languages, paths, strict=True
        )
    ]


def _recognition(
    runtime: Runtime,
    window: Window,
    candidate: Candidate,
    language: Language | None,
    path: Alignment,
) -> Recognition:
    if candidate.is_silence or not candidate.text.strip():
        return _nothing_said(window, candidate, language)
    alignment, probabilities = path
    words = timed_words(
        runtime.vocabulary.words(candidate.tokens, language),
        token_starts(alignment, len(candidate.tokens)),
        probabilities,
        window.speech,
    )
    return Recognition(
        segments=segments_of([window.in_chunk(word) for word in words], candidate),
        language=language,
        speech_s=window.speech_s,
        transcribed_s=window.speech_s,
    )


def _nothing_said(window: Window, candidate: Candidate, language: Language | None) -> Recognition:
    """No text: either the detector took noise for speech, or there is a hole to own up to."""
    noise = candidate.no_speech_probability > NO_SPEECH_PROBABILITY
    if noise or window.speech_s < SPEECH_WORTH_TEXT_S:
        return Recognition(language=language)
    place = window.place
    gap = Gap(start=place.start_s, end=place.end_s, reason=GapReason.NOTHING_RECOGNISED)
    return Recognition(language=language, speech_s=window.speech_s, gaps=(gap,))


def joined(parts: Sequence[Recognition]) -> Recognition:
    """The recognitions of the windows of one chunk as one, in order of time."""
    segments: list[Segment] = sorted(
        (s for part in parts for s in part.segments), key=lambda s: (s.start, s.end)
    )
    spoken = [p for p in parts if p.segments and p.language is not None]
    longest = max(spoken, key=lambda p: p.transcribed_s, default=None)
    return Recognition(
        segments=tuple(segments),
        language=longest.language if longest else None,
        speech_s=sum(p.speech_s for p in parts),
        transcribed_s=sum(p.transcribed_s for p in parts),
        gaps=tuple(gap for part in parts for gap in part.gaps),
    )
