"""What every transcript store promises, whatever is behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol
from uuid import UUID

import pytest

from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.recognition import TranscriptRequest
from stretto.contexts.core.transcript import CacheUse, Transcript
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.processing.ports import TranscriptStore
from tests.fakes.examples import A_GAP, AN_ENGINE, a_transcript, a_transcript_request
from tests.fakes.transcript_store import MemoryTranscriptStore
from tests.servers import Database, opened


class Store(TranscriptStore, Protocol):
    """The port, and what the command line reads besides."""

    def get(self, transcript_id: TranscriptId) -> Transcript | None: ...

    def recent(self, limit: int) -> tuple[Transcript, ...]: ...


@pytest.fixture(params=["twin", "database"])
def store(request: pytest.FixtureRequest, database: Database) -> Store:
    if request.param == "twin":
        return MemoryTranscriptStore()
    return SqlTranscriptStore(database, outbox=OutboxWriter())


def test_an_empty_store_finds_nothing(store: Store) -> None:
    assert store.find(a_transcript_request()) is None
    assert store.get(a_transcript().id) is None
    assert store.recent(10) == ()


def test_what_was_kept_is_found_by_request_and_by_id(store: Store) -> None:
    store.keep(a_transcript_request(), a_transcript())
    assert store.find(a_transcript_request()) == a_transcript()
    assert store.get(a_transcript().id) == a_transcript()


def test_an_unknown_language_and_an_empty_text_are_kept_as_they_are(store: Store) -> None:
    silence = a_transcript(language=None, segments=(), warnings=("no speech",))
    store.keep(a_transcript_request(), silence)
    assert store.find(a_transcript_request()) == silence


@pytest.mark.parametrize(
    "other",
    [
        a_transcript_request("other file"),
        a_transcript_request(detected=True),
        a_transcript_request(prompt="Dickens"),
    ],
)
def test_another_request_does_not_find_it(store: Store, other: TranscriptRequest) -> None:
    store.keep(a_transcript_request(), a_transcript())
    assert store.find(other) is None


def test_a_partial_transcript_is_kept_but_never_found(store: Store) -> None:
    partial = a_transcript("half of it", A_GAP)
    store.keep(a_transcript_request(), partial)
    assert store.find(a_transcript_request()) is None
    assert store.get(partial.id) == partial
    assert store.recent(1) == (partial,)


def test_a_newer_partial_transcript_does_not_hide_a_complete_one(store: Store) -> None:
    store.keep(a_transcript_request(), a_transcript("all of it", created_at_s=1))
    store.keep(a_transcript_request(), a_transcript("half of it", A_GAP, created_at_s=2))
    assert store.find(a_transcript_request()) == a_transcript("all of it", created_at_s=1)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_of_two_for_one_request_both_stay_and_the_newest_wins(
    store: Store, order: tuple[int, int]
) -> None:
    for second in order:
        store.keep(a_transcript_request(), a_transcript(created_at_s=second))
    assert store.find(a_transcript_request()) == a_transcript(created_at_s=2)
    assert store.recent(10) == (a_transcript(created_at_s=2), a_transcript(created_at_s=1))


def test_of_two_from_the_same_moment_the_one_kept_last_is_the_newest(store: Store) -> None:
    store.keep(a_transcript_request(), a_transcript("first"))
    store.keep(a_transcript_request(), a_transcript("second"))
    assert store.find(a_transcript_request()) == a_transcript("second")


def test_the_same_transcript_kept_again_replaces_its_older_self(store: Store) -> None:
    partial = a_transcript("half of it", A_GAP)
    whole = a_transcript("all of it", id=partial.id)
    store.keep(a_transcript_request(), partial)
    store.keep(a_transcript_request(), whole)
    assert store.find(a_transcript_request()) == whole
    assert store.recent(10) == (whole,)


def test_no_more_than_asked_for_are_listed(store: Store) -> None:
    for second in range(5):
        store.keep(a_transcript_request(str(second)), a_transcript(created_at_s=second))
    assert [t.created_at.unix_s for t in store.recent(2)] == [4, 3]
    assert store.recent(0) == ()


def test_a_file_name_that_is_no_text_does_not_lose_the_transcript(database: Database) -> None:
    store = SqlTranscriptStore(database, outbox=OutboxWriter())
    store.keep(a_transcript_request(), a_transcript(file="/music/\udcff.mp3"))
    found = store.find(a_transcript_request())
    assert found is not None
    assert found.file == "/music/\\udcff.mp3"


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x80", "a text", 7])
def test_a_damaged_row_is_passed_over_for_the_next_best(tmp_path: Path, damage: object) -> None:
    database = opened(tmp_path)
    store = SqlTranscriptStore(database, outbox=OutboxWriter())
    good, bad = a_transcript(created_at_s=1), a_transcript(created_at_s=2)
    store.keep(a_transcript_request(), good)
    store.keep(a_transcript_request(), bad)
    with database.write() as connection:
        statement = "UPDATE transcript SET document = ? WHERE id = ?"
        connection.execute(statement, (damage, str(bad.id)))
    assert store.find(a_transcript_request()) == good
    assert store.get(bad.id) is None
    assert store.recent(1) == (good,)
    database.close()


def a_measured(store: Store, number: int, *, processing_s: float, **fields: object) -> None:
    computed: dict[str, object] = {"duration_s": 60.0, "cache": CacheUse(hits=0, misses=1)}
    transcript = a_transcript(
        id=TranscriptId(UUID(int=number)),
        created_at_s=float(number),
        processing_s=processing_s,
        **(computed | fields),
    )
    store.keep(a_transcript_request(f"file {number}"), transcript)


def test_the_speed_of_an_engine_is_the_median_of_what_it_reached_lately(store: Store) -> None:
    assert store.speed(AN_ENGINE) is None
    for number, processing_s in enumerate((1.0, 2.0, 6.0)):
        a_measured(store, number, processing_s=processing_s)
    assert store.speed(AN_ENGINE) == 30.0
    assert store.speed(replace(AN_ENGINE, model="base")) is None


def test_a_file_that_was_short_or_partly_cached_says_nothing_of_the_speed(store: Store) -> None:
    a_measured(store, 1, processing_s=1.0, cache=CacheUse(hits=1, misses=1))
    a_measured(store, 2, processing_s=1.0, duration_s=5.0)
    a_measured(store, 3, processing_s=0.0)
    assert store.speed(AN_ENGINE) is None
