"""Puts the answers for the chunks together: true times, any order of arrival, nothing twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final

from stretto.contexts.core.audio import Span
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import Recognition
from stretto.contexts.core.transcript import Coverage, Gap, Seam, Segment, Word
from stretto.contexts.processing.model import PlannedChunk

GAP_TOLERANCE_S: Final = 0.05


class TimestampAdjuster:
    """Moves times from a chunk to the file by the chunk's true offset in samples.

    Results are monotonic and inside the chunk: an engine's time that runs over an edge is
    clipped, one that runs backwards is lifted to its predecessor's end.
    """

    def __init__(self, span: Span) -> None:
        self._span = span

    def segments(self, segments: Iterable[Segment]) -> tuple[Segment, ...]:
        adjusted: list[Segment] = []
        floor = self._span.start_s
        for segment in sorted(segments, key=lambda s: (s.start, s.end)):
            start = self._clip(segment.start, floor)
            end = self._clip(segment.end, start)
            words = self._words(segment.words, start, end)
            adjusted.append(replace(segment, start=start, end=end, words=words))
            floor = end
        return tuple(adjusted)

    def gaps(self, gaps: Iterable[Gap]) -> tuple[Gap, ...]:
        adjusted = []
        for gap in gaps:
            start = self._clip(gap.start, self._span.start_s)
            adjusted.append(replace(gap, start=start, end=self._clip(gap.end, start)))
        return tuple(adjusted)

    def _words(self, words: Iterable[Word], floor: float, ceiling: float) -> tuple[Word, ...]:
        adjusted = []
        for word in words:
            start = min(self._clip(word.start, floor), ceiling)
            end = min(self._clip(word.end, start), ceiling)
            adjusted.append(replace(word, start=start, end=end))
            floor = end
        return tuple(adjusted)

    def _clip(self, seconds: float, floor: float) -> float:
        # In this order a NaN, which compares false with everything, ends up at the floor.
        return max(floor, min(self._span.start_s + seconds, self._span.end_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedResult:
    """What all chunks together say; times are seconds of the file."""

    segments: tuple[Segment, ...]
    language: Language | None
    coverage: Coverage
    seams: tuple[Seam, ...]
    duration_s: float


class ResultMerger:
    """Collects answers in any order; the same answer twice counts once. Thread-safe.

    Cuts lie in pauses and chunks do not overlap, so no word can stand on both sides of a seam;
    a seam that had to be cut into sound is marked, for a look.
    """

    def __init__(self) -> None:
        self._answers: dict[int, tuple[PlannedChunk, Recognition]] = {}
        self._handed_on = 0
        self._lock = Lock()

    def add(self, chunk: PlannedChunk, recognition: Recognition) -> None:
        """Of several answers for one chunk the best stays, whichever came first; but what was
        handed on stays as it is."""
        with self._lock:
            known = self._answers.get(chunk.index)
            if known is not None and chunk.index < self._handed_on:
                return
            if known is None or _preference(recognition) < _preference(known[1]):
                self._answers[chunk.index] = (chunk, recognition)

    def hand_on(self) -> tuple[Segment, ...]:
        """The segments that follow those handed on before, as far as no chunk is missing before
        them. In the end they are those of ``merge``, in its order."""
        segments: list[Segment] = []
        with self._lock:
            while (answer := self._answers.get(self._handed_on)) is not None:
                chunk, recognition = answer
                segments += TimestampAdjuster(chunk.span).segments(recognition.segments)
                self._handed_on += 1
        return tuple(segments)

    def merge(self) -> MergedResult:
        with self._lock:
            answers = [self._answers[index] for index in sorted(self._answers)]
        segments: list[Segment] = []
        gaps: list[Gap] = []
        seams: list[Seam] = []
        for chunk, recognition in answers:
            adjuster = TimestampAdjuster(chunk.span)
            segments += adjuster.segments(recognition.segments)
            gaps += adjuster.gaps(recognition.gaps)
            seams.append(_seam(chunk))
        return MergedResult(
            segments=tuple(segments),
            language=_most_spoken(r for _, r in answers),
            coverage=Coverage(
                speech_s=sum(r.speech_s for _, r in answers),
                transcribed_s=sum(r.transcribed_s for _, r in answers),
                gaps=_joined(gaps),
            ),
            seams=tuple(seams[:-1]),
            duration_s=max((c.span.end_s for c, _ in answers), default=0.0),
        )


def _preference(recognition: Recognition) -> tuple[int, float, list[str]]:
    """Fewer gaps, then more speech; the text only makes the choice the same in any order."""
    texts = [segment.text for segment in recognition.segments]
    return len(recognition.gaps), -recognition.transcribed_s, texts


def _seam(chunk: PlannedChunk) -> Seam:
    return Seam(at=chunk.span.end_s, loudness_dbfs=chunk.loudness_dbfs, forced=chunk.forced)


def _most_spoken(recognitions: Iterable[Recognition]) -> Language | None:
    """The language with the most transcribed seconds."""
    seconds: dict[Language, float] = {}
    for recognition in recognitions:
        if recognition.language is not None and recognition.segments:
            spoken_s = max(recognition.transcribed_s, 0.001)
            seconds[recognition.language] = seconds.get(recognition.language, 0.0) + spoken_s
    return max(seconds, key=lambda language: seconds[language], default=None)


def _joined(gaps: list[Gap]) -> tuple[Gap, ...]:
    """Gaps in order; those that touch and have the same reason become one."""
    joined: list[Gap] = []
    for gap in sorted(gaps, key=lambda g: (g.start, g.end)):
        last = joined[-1] if joined else None
        if (
            last
            and last.reason is gap.reason
            and last.detail == gap.detail
            and gap.start - last.end <= GAP_TOLERANCE_S
        ):
            joined[-1] = replace(last, end=max(last.end, gap.end))
        else:
            joined.append(gap)
    return tuple(joined)
