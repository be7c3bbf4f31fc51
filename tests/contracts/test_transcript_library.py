"""What was kept can be listed page by page and deleted without a trace, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from stretto.application import Archive
from stretto.bootstrap import build_archive
from stretto.contexts.caching.adapters.sql import SqlCacheStore
from stretto.contexts.core.audio import AudioFile
from stretto.contexts.core.errors import InvalidOption, UnknownTranscript
from stretto.contexts.core.identifiers import FileHash, Language, Timestamp, TranscriptId
from stretto.contexts.core.transcript import Transcript, TranscriptStatus
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.audio_files import SqlAudioFiles
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.processing.library import Cursor, Wanted
from stretto.contexts.queue.model import JobProgress
from stretto.contexts.queue.transitions import completed
from tests.conftest import Place
from tests.fakes.caching import an_entry
from tests.fakes.clock import FakeClock
from tests.fakes.examples import A_GAP, a_transcript, a_transcript_request, sha256_of
from tests.queues import queue_on
from tests.servers import Database, opened, settings_of
from tests.unit.queue.jobs import a_submission, job_id

TABLES = ("transcript", "segment", "audio_file", "queue_job", "cache_entry")


@dataclass
class House:
    """An archive and a store over one database, and a look behind them."""

    archive: Archive
    store: SqlTranscriptStore
    database: Database

    def keep(
        self, number: int, *gaps: Any, file: str = "some file", owner: str = "", **fields: Any
    ) -> Transcript:
        given = {"created_at_s": 1000.0 + number, "file_hash": FileHash(sha256_of(file))} | fields
        transcript = a_transcript(
            f"talk {number}", *gaps, id=TranscriptId(UUID(int=number)), **given
        )
        self.store.keep(replace(a_transcript_request(file), scope=owner), transcript)
        return transcript

    def rows(self, table: str) -> int:
        with self.database.read() as connection:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def ids(self, **wanted: Any) -> list[int]:
        return [row.id.value.int for row in self.archive.page(Wanted(**wanted)).rows]


@pytest.fixture
def house(place: Place) -> Iterator[House]:
    database = opened(place)
    archive = build_archive(settings_of(place), database=database)
    yield House(archive, SqlTranscriptStore(database, outbox=OutboxWriter()), database)
    archive.close()


def test_an_empty_library_has_an_empty_page(house: House) -> None:
    page = house.archive.page(Wanted())
    assert (page.rows, page.next) == ((), None)


def test_a_row_says_what_a_person_wants_to_see(house: House) -> None:
    transcript = house.keep(1)
    (row,) = house.archive.page(Wanted()).rows
    assert (row.id, row.file, row.file_hash) == (transcript.id, "/music/зал.mp3", row.file_hash)
    assert (row.version, row.language, row.status) == (1, Language("en"), transcript.status)
    assert (row.engine, row.model, row.duration_s) == ("whisper", "tiny.en", 3.25)
    assert row.created_at == transcript.created_at
    assert house.archive.summary(transcript.id) == row


def test_pages_follow_each_other_without_gap_or_double_even_when_times_are_equal(
    house: House,
) -> None:
    for number in range(1, 12):
        house.keep(number, created_at_s=1000.0 + number // 4, file=f"file {number}")
    seen, after = [], Wanted().after
    for _ in range(10):
        page = house.archive.page(Wanted(limit=3, after=after))
        seen += [row.id.value.int for row in page.rows]
        if page.next is None:
            break
        after = Cursor.parse(str(page.next))
    assert seen == list(range(11, 0, -1))


def test_what_is_kept_meanwhile_does_not_move_the_next_page(house: House) -> None:
    for number in range(1, 5):
        house.keep(number)
    first = house.archive.page(Wanted(limit=2))
    house.keep(9)
    assert first.next is not None
    assert house.ids(limit=2, after=first.next) == [2, 1]


def test_the_list_can_be_narrowed_by_language_status_and_file(house: House) -> None:
    house.keep(1)
    house.keep(2, A_GAP)
    house.keep(3, language=Language("ru"), file="other file")
    house.keep(4, language=None, file="other file")
    assert house.ids(language=Language("ru")) == [3]
    assert house.ids(status=TranscriptStatus.PARTIAL) == [2]
    assert house.ids(file_hash=FileHash(sha256_of("other file"))) == [4, 3]
    assert house.ids(status=TranscriptStatus.COMPLETE, language=Language("en")) == [1]


@pytest.mark.parametrize("text", ["", "1", "x:y", "1:2:3", "1;2", "1:-1", "nan:1", "1:" + "9" * 40])
def test_an_end_of_a_page_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="end of a page"):
        Cursor.parse(text)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_a_sensible_length(limit: int) -> None:
    with pytest.raises(InvalidOption, match="1 to 1000"):
        Wanted(limit=limit)


def test_a_new_transcript_of_a_file_is_a_version_and_destroys_nothing(house: House) -> None:
    first, second = house.keep(1), house.keep(2)
    house.keep(3, file="other file")
    versions = {row.id.value.int: row.version for row in house.archive.page(Wanted()).rows}
    assert versions == {1: 1, 2: 2, 3: 1}
    assert house.archive.get(first.id) == first
    assert house.archive.get(second.id) == second


def test_a_transcript_that_is_kept_again_keeps_its_version(house: House) -> None:
    house.keep(1)
    house.keep(2)
    house.keep(1, A_GAP)
    versions = {row.id.value.int: row.version for row in house.archive.page(Wanted()).rows}
    assert versions == {1: 1, 2: 2}
    assert house.rows("segment") == 2


def test_versions_count_what_one_owner_has_of_a_file(house: House) -> None:
    """A second one would say that somebody else has the same recording."""
    house.keep(1, owner="anna")
    house.keep(2, owner="boris")
    house.keep(3, owner="anna")
    versions = {row.id.value.int: row.version for row in house.archive.page(Wanted()).rows}
    assert versions == {1: 1, 2: 1, 3: 2}


def test_what_is_known_of_a_file_is_kept_with_its_transcript(house: House) -> None:
    transcript = a_transcript()
    file = AudioFile(
        path=Path("/music/зал.mp3"),
        size_bytes=12345,
        file_hash=transcript.file_hash,
        stream_index=0,
        container="mp3",
        codec="mp3",
        claimed_duration_s=3.2,
        bitrate_bps=64000,
    )
    house.store.keep(a_transcript_request(), transcript, file=file)
    house.store.keep(a_transcript_request(), a_transcript("again", created_at_s=2000.0))
    found = SqlAudioFiles(house.database).get(transcript.file_hash)
    assert found is not None
    assert (found.name, found.size_bytes, found.codec) == ("/music/зал.mp3", 12345, "mp3")
    assert (found.first_seen_at, found.last_seen_at) == (Timestamp(1000.0), Timestamp(2000.0))


def test_deleting_takes_everything_along_in_every_table(house: House) -> None:
    transcript = house.keep(1)
    queue = queue_on(house.database)
    queue.jobs.add(a_submission())
    queue.claim()
    queue.jobs.change(
        job_id(1),
        lambda job, now: completed(
            job, now, fence=1, transcript_id=transcript.id, progress=JobProgress()
        ),
    )
    answers = SqlCacheStore(house.database, now=FakeClock())
    answers.put(an_entry(source="some file"))
    assert [house.rows(table) for table in TABLES] == [1] * len(TABLES)
    house.archive.delete(transcript.id)
    assert [house.rows(table) for table in TABLES] == [0] * len(TABLES)
    assert house.archive.search("talk") == ()


def test_deleting_one_version_leaves_the_other_and_its_answers(house: House) -> None:
    first, second = house.keep(1), house.keep(2)
    answers = SqlCacheStore(house.database, now=FakeClock())
    answers.put(an_entry(source="some file"))
    house.archive.delete(first.id)
    assert house.archive.get(second.id) == second
    assert [house.rows(table) for table in TABLES] == [1, 1, 1, 0, 1]
    house.archive.delete(second.id)
    assert [house.rows(table) for table in TABLES] == [0] * len(TABLES)


def test_the_last_transcript_of_an_owner_takes_the_answers_along(house: House) -> None:
    """Although somebody else has one: what was said is not to stay because of a stranger."""
    first, second = house.keep(1, owner="anna"), house.keep(2, owner="boris")
    answers = SqlCacheStore(house.database, now=FakeClock())
    answers.put(an_entry(source="some file"))
    house.archive.delete(second.id)
    assert [house.rows(table) for table in TABLES] == [1, 1, 1, 0, 0]
    assert house.archive.get(first.id) == first


def test_what_is_not_there_is_named(house: House) -> None:
    stranger = TranscriptId(UUID(int=7))
    for ask in (house.archive.get, house.archive.summary, house.archive.delete):
        with pytest.raises(UnknownTranscript, match=str(stranger)):
            ask(stranger)


def test_a_list_and_a_detail_take_one_statement_each_however_many_rows(house: House) -> None:
    for number in range(1, 30):
        house.keep(number)
    counted = Counting(house.database)
    archive = replace(
        house.archive, library=type(house.archive.library)(counted, outbox=None, clock=None)
    )
    archive.page(Wanted(limit=20))
    assert counted.statements == 1
    archive.summary(TranscriptId(UUID(int=3)))
    assert counted.statements == 2


class Counting:
    """A database that counts what it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = database.dialect
        self.statements = 0

    def read(self) -> Any:
        counting = self

        class Context:
            def __enter__(self) -> Any:
                self.inner = counting._database.read()
                self.connection = self.inner.__enter__()
                return self

            def execute(self, *arguments: Any) -> Any:
                counting.statements += 1
                return self.connection.execute(*arguments)

            def __exit__(self, *trouble: Any) -> Any:
                return self.inner.__exit__(*trouble)

        return Context()
