"""The language of a file is found once, from the first chunk with speech."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.processing.language import DetectedLanguage, LanguageFinder, resolved
from stretto.contexts.processing.model import AudioChunk
from tests.fakes.audio import LoudnessDetector, a_chunk, silence, speechlike
from tests.fakes.engine import MemoryEngine
from tests.fakes.result_cache import MemoryResultCache

GERMAN = Language("de")
UNKNOWN = TranscriptionOptions()


class Recording:
    """Chunks that are silent or spoken (s, S); counts how many were read."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.read = 0

    def __iter__(self) -> Iterator[AudioChunk]:
        for index, kind in enumerate(self._pattern):
            self.read += 1
            samples = speechlike(5.0, seed=index) if kind == "S" else silence(5.0 + index)
            yield a_chunk(samples, index=index)


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine(language=GERMAN)


@pytest.fixture
def finder(engine: MemoryEngine) -> LanguageFinder:
    return LanguageFinder(engine=engine, detector=LoudnessDetector(), cache=MemoryResultCache())


class Heard:
    """Follows a recording to its end and remembers what it was told."""

    def __init__(self, finder: LanguageFinder, chunks: Iterable[AudioChunk]) -> None:
        self.found: list[DetectedLanguage] = []
        self.tasks = list(finder.follow(chunks, UNKNOWN, self.found.append))

    @property
    def languages(self) -> list[Language | None]:
        return [options.language for _, options in self.tasks]


@pytest.mark.parametrize(
    ("pattern", "languages"),
    [
        ("SSS", [GERMAN, GERMAN, GERMAN]),
        ("ssSs", [None, None, GERMAN, GERMAN]),
        ("sS", [None, GERMAN]),
    ],
)
def test_from_the_first_chunk_with_speech_on_the_language_is_known(
    finder: LanguageFinder, engine: MemoryEngine, pattern: str, languages: list[Language | None]
) -> None:
    heard = Heard(finder, Recording(pattern))
    assert heard.languages == languages
    assert heard.found == [DetectedLanguage(language=GERMAN, probability=0.9)]
    assert engine.languages_asked == 1
    assert [chunk.planned.index for chunk, _ in heard.tasks] == list(range(len(pattern)))


def test_the_opening_has_its_own_language_and_does_not_decide_for_the_rest(
    finder: LanguageFinder, engine: MemoryEngine
) -> None:
    opening, *rest = Recording("SSS")
    opening = replace(opening, planned=replace(opening.planned, opening=True))
    heard = Heard(finder, [opening, *rest])
    assert heard.languages == [GERMAN, GERMAN, GERMAN]
    assert heard.found == [DetectedLanguage(language=GERMAN, probability=0.9)]
    assert engine.languages_asked == 2


def test_a_silent_beginning_is_handed_out_while_it_is_read(finder: LanguageFinder) -> None:
    recording = Recording("ssssS")
    next(finder.follow(recording, UNKNOWN, lambda _: None))
    assert recording.read == 1


def test_what_was_listened_to_keeps_the_speech_that_was_found(finder: LanguageFinder) -> None:
    (silent, _), (spoken, _) = Heard(finder, Recording("sS")).tasks
    assert silent.speech == ()
    assert spoken.speech


@pytest.mark.parametrize("pattern", ["sss", ""])
def test_a_silent_file_has_no_language_and_nobody_is_asked(
    finder: LanguageFinder, engine: MemoryEngine, pattern: str
) -> None:
    heard = Heard(finder, Recording(pattern))
    assert heard.languages == [None] * len(pattern)
    assert heard.found == []
    assert engine.languages_asked == 0


def test_an_engine_that_cannot_tell_is_asked_about_the_next_chunk() -> None:
    engine = MemoryEngine(language=None)
    finder = LanguageFinder(engine=engine, detector=LoudnessDetector(), cache=MemoryResultCache())
    assert Heard(finder, Recording("SS")).languages == [None, None]
    assert engine.languages_asked == 2


def test_a_language_that_was_given_is_not_looked_for(
    finder: LanguageFinder, engine: MemoryEngine
) -> None:
    given = TranscriptionOptions(language=Language("fr"))
    tasks = list(finder.follow(Recording("S"), given, pytest.fail))
    assert [options for _, options in tasks] == [given]
    assert engine.languages_asked == 0


def test_the_same_chunk_is_not_listened_to_twice(
    finder: LanguageFinder, engine: MemoryEngine
) -> None:
    (chunk,) = Recording("S")
    assert finder.recall(chunk, UNKNOWN) is None
    first, second = Heard(finder, [chunk]), Heard(finder, [chunk])
    assert first.found == second.found == [finder.recall(chunk, UNKNOWN)]
    assert engine.languages_asked == 1


def test_a_found_language_is_marked_as_found_and_none_changes_nothing() -> None:
    options = TranscriptionOptions(prompt="Faust")
    assert resolved(options, GERMAN) == TranscriptionOptions(
        language=GERMAN, detected=True, prompt="Faust"
    )
    assert resolved(options, None) is options
