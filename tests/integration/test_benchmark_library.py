"""The libraries of the benchmark are those that the program itself would have kept."""

from __future__ import annotations

from typing import Any

from benchmarks import library

from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.search import SqlTranscriptSearch
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from tests.conftest import Place
from tests.servers import Database, opened

TABLES = {
    "audio_file": "file_hash",
    "transcript": "number",
    "segment": "number",
}


def rows_of(database: Database) -> dict[str, list[Any]]:
    with database.read() as connection:
        found = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY {key}").fetchall()
            for table, key in TABLES.items()
        }
        events = "SELECT stream, kind, payload FROM outbox_event ORDER BY number"
        found["outbox_event"] = connection.execute(events).fetchall()
    return {table: [tuple(row) for row in rows] for table, rows in found.items()}


def emptied(database: Database) -> None:
    with database.write() as connection:
        for table in ("segment", "transcript", "audio_file", "outbox_event"):
            connection.execute(f"DELETE FROM {table}")


def without_numbers(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """What the database itself counts on differs the second time."""
    numbers = {row[0]: place for place, row in enumerate(rows["transcript"])}
    transcripts = [row[1:] for row in rows["transcript"]]
    segments = [(numbers[row[1]], *row[2:]) for row in rows["segment"]]
    return {**rows, "transcript": transcripts, "segment": segments}


def test_a_library_built_in_batches_equals_one_kept_transcript_by_transcript(
    database: Database,
) -> None:
    store = SqlTranscriptStore(database, outbox=OutboxWriter())
    for number, transcript in enumerate(library.transcripts(0, 12)):
        store.keep(library.request(number), transcript)
    one_by_one = without_numbers(rows_of(database))
    emptied(database)
    library.build(database, size=12, in_one_transaction=5)
    assert without_numbers(rows_of(database)) == one_by_one
    word = one_by_one["segment"][0][4].split()[0]
    assert SqlTranscriptSearch(database).search(word, limit=3)


def test_a_library_that_was_begun_is_finished(place: Place) -> None:
    database = opened(place)
    library.build(database, size=3)
    library.build(database, size=7, in_one_transaction=1)  # enough batches for all cores
    assert library.count(database) == 7
    assert len(rows_of(database)["segment"]) == 7 * library.SEGMENTS
    library.build(database, size=7)
    assert library.count(database) == 7
    database.close()
