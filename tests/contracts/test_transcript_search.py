"""Words are found alike on both databases, whatever is typed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Language, TranscriptId
from stretto.contexts.core.transcript import Segment, Word
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.search import SqlTranscriptSearch
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from tests.fakes.examples import a_transcript, a_transcript_request
from tests.servers import Database

ENGLISH = (
    "It was the best of times, it was the worst of times.",
    "We have everything before us at the university.",
    "The meetings ran long; nobody was running them.",
)
RUSSIAN = ("Это было самое лучшее время.", "На встречах говорили о времени и ёлках.")


@dataclass
class Shelf:
    store: SqlTranscriptStore
    search: SqlTranscriptSearch
    database: Database

    def keep(self, number: int, *texts: str, **fields: object) -> None:
        segments = tuple(
            Segment(start=10.0 * i, end=10.0 * i + 9, text=text, words=words_of(text, 10.0 * i))
            for i, text in enumerate(texts)
        )
        transcript = a_transcript(
            str(number), id=TranscriptId(UUID(int=number)), segments=segments, **fields
        )
        self.store.keep(a_transcript_request(str(number)), transcript)

    def texts(self, query: str, limit: int = 20) -> list[str]:
        return [hit.text for hit in self.search.search(query, limit=limit)]


def words_of(text: str, start: float) -> tuple[Word, ...]:
    return tuple(
        Word(start=start + i / 2, end=start + i / 2 + 0.4, text=f" {word}", probability=1.0)
        for i, word in enumerate(text.split())
    )


@pytest.fixture
def shelf(database: Database) -> Iterator[Shelf]:
    store = SqlTranscriptStore(database, outbox=OutboxWriter())
    shelf = Shelf(store, SqlTranscriptSearch(database), database)
    shelf.keep(1, *ENGLISH, file="tale.mp3")
    shelf.keep(2, *RUSSIAN, file="повесть.mp3", language=Language("ru"))
    return shelf


def test_nothing_is_found_in_an_empty_library(database: Database) -> None:
    assert SqlTranscriptSearch(database).search("word", limit=20) == ()


def test_a_hit_says_which_transcript_when_and_where(shelf: Shelf) -> None:
    (hit,) = shelf.search.search("universities", limit=20)
    assert (hit.transcript_id.value.int, hit.file, hit.version) == (1, "tale.mp3", 1)
    assert (hit.start, hit.end, hit.at) == (10.0, 19.0, 13.5)
    assert hit.text == ENGLISH[1]
    assert [hit.text[a:b] for a, b in hit.marks] == ["university"]
    assert hit.language == Language("en")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("meeting", [ENGLISH[2]]),
        ("run meetings", [ENGLISH[2]]),
        ("Встреча", [RUSSIAN[1]]),
        ("лучшего времени", []),
        ("лучшего", [RUSSIAN[0]]),
        ("елка", [RUSSIAN[1]]),
        ('"worst of times"', [ENGLISH[0]]),
        ('"times worst"', []),
        ("univers*", [ENGLISH[1]]),
        ("universi*", [ENGLISH[1]]),
        ("универ*", []),
        ("встреч* ёлк*", [RUSSIAN[1]]),
        ('"the best" tim*', [ENGLISH[0]]),
        ("nothing", []),
        ("best nothing", []),
    ],
)
def test_words_phrases_and_beginnings_are_found(
    shelf: Shelf, query: str, expected: list[str]
) -> None:
    assert shelf.texts(query) == expected


def test_the_best_come_first_and_of_equals_the_newest(shelf: Shelf) -> None:
    shelf.keep(3, "times", "all the times that were, and the others, and those too")
    shelf.keep(4, "times")
    assert [hit.transcript_id.value.int for hit in shelf.search.search("times", limit=9)][:2] == [
        4,
        3,
    ]
    assert len(shelf.texts("times", limit=2)) == 2


def test_what_was_kept_again_is_found_by_its_new_words_alone(shelf: Shelf) -> None:
    shelf.keep(1, "quite another story")
    assert shelf.texts("best") == []
    assert shelf.texts("story") == ["quite another story"]


HOSTILE = [
    *["'", '"', '"""', "''--", "a' OR '1'='1", "x'; DROP TABLE segment; --", "%", "_", "\\", "\\'"],
    *["a AND", "NOT a", "a NEAR b", "stems: a", "{a}", "a^2", "(a", "a)", "a:*", "a & | !b", "<->"],
    *[
        "a\0b",
        "\x1b[31m",
        "\ud800",
        "\u202eabc",
        "𝕏",
        "🎵 a",
        "a" * 999,
        "*" * 50,
        '"a*" b',
        ":query",
    ],
]


@pytest.mark.parametrize("query", HOSTILE)
def test_nothing_that_is_typed_does_harm(shelf: Shelf, query: str) -> None:
    with suppress(InvalidOption):  # there is no word in it
        shelf.texts(query)
    assert shelf.texts("best") == [ENGLISH[0]]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(min_size=1, max_size=60))
def test_any_text_at_all_is_a_search_or_a_sentence(shelf: Shelf, query: str) -> None:
    with suppress(InvalidOption):  # there is no word in it
        shelf.texts(query)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(min_size=1, max_size=40))
def test_whatever_was_said_is_kept_and_found_by_its_first_word(shelf: Shelf, text: str) -> None:
    shelf.keep(9, text)
    try:
        first = shelf.texts(text.split()[0], limit=100) if text.split() else [""]
    except InvalidOption:
        return
    assert first


@pytest.mark.parametrize("word", ["会议", "❶", "नमस्ते", "สวัสดี", "שלום", "Ⅷ", "ﬁn", "ᏣᎳᎩ", "𝕏"])
def test_words_of_every_script_are_found(shelf: Shelf, word: str) -> None:
    shelf.keep(9, f"before {word} after")
    assert shelf.texts(word) == [f"before {word} after"]


def test_a_transcript_of_an_older_program_is_indexed_by_the_first_search(shelf: Shelf) -> None:
    with shelf.database.write() as connection:
        connection.execute("DELETE FROM segment")
        connection.execute("UPDATE transcript SET indexed = 0")
    assert shelf.texts("worst") == [ENGLISH[0]]
    assert shelf.search.index_what_is_not() == 0


def test_a_damaged_transcript_does_not_stop_the_search(shelf: Shelf) -> None:
    with shelf.database.write() as connection:
        statement = "UPDATE transcript SET indexed = 0, document = :d WHERE file = 'tale.mp3'"
        connection.execute(statement, {"d": b"\xc1"})
        connection.execute("DELETE FROM segment")
        connection.execute("UPDATE transcript SET indexed = 0")
    assert shelf.texts("лучшее") == [RUSSIAN[0]]
    assert shelf.search.index_what_is_not() == 0
